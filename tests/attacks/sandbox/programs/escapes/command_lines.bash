# goal = "The server's command lines, and programs of other people's."
. ./attack.sh
for process in /proc/[0-9]*; do
  number=${process#/proc/}
  case "$number" in 1 | $$ | $BASHPID) continue ;; esac
  parent=$(sed -n 's/^PPid:[[:space:]]*//p' "$process/status" 2>/dev/null)
  case "$parent" in "" | $$ | $BASHPID) ;; *) breach "process $number: $(tr '\0' ' ' <"$process/cmdline")" ;; esac
done
held
