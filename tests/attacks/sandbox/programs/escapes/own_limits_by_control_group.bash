# goal = "To raise its own memory and process limits in its control group."
. ./attack.sh
find /sys/fs/cgroup -type f 2>/dev/null | head -n 400 | while read -r path; do
  must_fail "$path can be written" sh -c "echo 99999999 > '$path'"
done
find /sys/fs/cgroup -type d 2>/dev/null | head -n 50 | while read -r folder; do
  must_fail "a group in $folder" mkdir "$folder/mine"
done
held
