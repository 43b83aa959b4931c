# goal = "To stop everything, itself first, so that nothing ever ends."
# ends = ["timed_out"]
# says = ""
# [limits]
# wall_seconds = 1
sleep 60 &
kill -STOP $!
kill -STOP $$
