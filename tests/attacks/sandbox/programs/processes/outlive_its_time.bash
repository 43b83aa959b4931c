# goal = "To live on after its time, with a child that is stopped and one that was never waited for."
# ends = ["timed_out"]
# says = ""
# [limits]
# wall_seconds = 1
marker=$(python3 -c 'import json; print(json.load(open("/tmp/input.json"))["marker"])')
sleep "$marker" &
kill -STOP $!
(trap '' TERM; exec sleep "$marker") &
trap '' TERM INT HUP
while true; do sleep 5; done
