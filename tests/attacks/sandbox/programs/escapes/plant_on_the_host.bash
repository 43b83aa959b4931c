# goal = "To leave a file somewhere that the host or the next program finds it."
. ./attack.sh
marker=$(given marker)
for folder in / /tmp /var/tmp /dev/shm /dev/mqueue /run /etc /usr /usr/bin /home /var/spool/cron /proc/self/cwd /proc/1/cwd /proc/1/root/tmp; do
  echo planted >"$folder/planted-$marker"
done 2>/dev/null
rm -f "/tmp/work/planted-$marker"
held
