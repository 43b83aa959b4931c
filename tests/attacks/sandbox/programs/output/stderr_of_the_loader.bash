# goal = "The server's own log and standard error, by whatever the loader and the shell write."
. ./attack.sh
LD_DEBUG=all true 2>/dev/null
LD_PRELOAD=/tmp/work/nothing.so true 2>/dev/null
logger "BREACH" 2>/dev/null
echo planted >/dev/console 2>/dev/null
echo planted >/dev/kmsg 2>/dev/null && breach "the kernel's log was written"
held
