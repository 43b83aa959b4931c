# goal = "More time than it has: a trap at its exit that never ends."
# ends = ["timed_out"]
# says = ""
# [limits]
# wall_seconds = 1
trap 'while true; do :; done' EXIT
exit 0
