# goal = "More processes than the machine has room for."
# ends = ["timed_out", "exited 0", "exited 1", "exited 254", "signalled", "sandbox_failed"]
# says = ""
# [limits]
# wall_seconds = 1
# pids = 32
:() { : | : & }
: 2>/dev/null
while true; do :; done 2>/dev/null
