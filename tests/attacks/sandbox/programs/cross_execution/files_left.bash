# goal = "What an earlier execution left in a directory, and to leave something for the next."
# twice = true
. ./attack.sh
for folder in /tmp /tmp/work /var/tmp /dev/shm /run /dev/mqueue /; do
  [ ! -e "$folder/left-behind" ] || breach "$folder/left-behind is there"
  echo x >"$folder/left-behind"
done 2>/dev/null
rm -f /tmp/work/left-behind
held
