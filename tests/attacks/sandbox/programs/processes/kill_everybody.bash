# goal = "To kill its supervisor, so that nobody tells how it ended."
# ends = ["exited 5"]
# [gvisor]
# ends = ["sandbox_failed"]
# says = ""
. ./attack.sh
for signal in INT TERM QUIT HUP USR1 USR2 CHLD PIPE ALRM STOP TSTP SEGV ABRT BUS FPE ILL SYS KILL; do
  kill -s "$signal" 1
done 2>/dev/null
held
exit 5
