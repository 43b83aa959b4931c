# goal = "To keep its caller waiting: its output held open by a child after its own end."
. ./attack.sh
(trap '' HUP TERM; while true; do sleep 5; done) &
held
