# Arguments: control group directories, "--", and the command that unshares. The shell itself joins the groups, so that
# everything it becomes is in them from its first instruction.
while [ "$1" != -- ]; do
  echo 0 > "$1/cgroup.procs" || exit 70
  shift
done
shift
exec "$@"
