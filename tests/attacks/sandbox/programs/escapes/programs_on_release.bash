# goal = "A program of the host's, run when a control group empties (release_agent)."
. ./attack.sh
found=$(find / -name release_agent -o -name cgroup.procs -o -name devices.allow 2>/dev/null | head -n 200)
for path in $found; do
  must_fail "$path can be written" sh -c "echo 0 > $path"
done
for controller in memory pids devices rdma cpu; do
  must_fail "mount of $controller" mount -t cgroup -o "$controller" cgroup /tmp/work
done
must_fail "mount of cgroup2" mount -t cgroup2 cgroup /tmp/work
held
