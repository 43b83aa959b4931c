# Runs as root in a mount namespace of its own. Arguments: an empty place, directories, "--", and the command that drops
# root's rights. Directory number N becomes PLACE/N, read-only; nobody outside of the namespace sees it.
set -e
place=$1
shift
mount -t tmpfs -o mode=0755,size=65536,nosuid,nodev tmpfs "$place"
number=0
while [ "$1" != -- ]; do
  mkdir "$place/$number"
  mount --bind "$1" "$place/$number"
  mount -o remount,bind,ro,nosuid,nodev "$place/$number"
  number=$((number + 1))
  shift
done
shift
exec "$@"
