# goal = "All the disk, wherever something can be written."
# [limits]
# disk_mb = 4
. ./attack.sh
for folder in /tmp /tmp/work /dev/shm /var/tmp /run /dev /dev/mqueue / /etc /usr /home "$HOME"; do
  head -c 64000000 /dev/zero >"$folder/fill" 2>/dev/null
done
total=$(cat /tmp/fill /tmp/work/fill /dev/shm/fill /var/tmp/fill /run/fill /dev/fill /dev/mqueue/fill /fill 2>/dev/null | wc -c)
rm -f /tmp/fill /tmp/work/fill /dev/shm/fill
[ "$total" -lt 8000000 ] || breach "$total bytes where 4 MiB were allowed"
held
