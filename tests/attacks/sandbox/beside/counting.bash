neighbour=neighbour-at-work
export neighbour
trap 'echo "BREACH: a signal came"' TERM HUP INT USR1
while true; do echo up; sleep 0.2; done
