# goal = "Another execution's processes, which are of the same user: to see, to stop, to kill."
# beside = "counting.bash"
# ends = ["exited 0", "signalled"]
. ./attack.sh
grep -aqs 'neighbour-at-[w]ork' /proc/*/cmdline /proc/*/environ && breach "it sees its neighbour"
for process in $(seq 2 400); do [ "$process" = $$ ] || kill -KILL "$process" 2>/dev/null; done
(trap '' TERM; kill -TERM -1) 2>/dev/null
held
