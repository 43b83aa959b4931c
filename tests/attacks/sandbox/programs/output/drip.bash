# goal = "To keep its caller waiting: a byte at a time, always just before patience ends."
# ends = ["timed_out"]
# says = ""
# [limits]
# wall_seconds = 1
while true; do printf .; sleep 0.05; done
