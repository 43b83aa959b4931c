# Runs in a user and mount namespace of its own. Arguments: mount options, then bwrap's. One tmpfs, bounded in bytes and
# in inodes (which bwrap's own --tmpfs cannot be), becomes both /tmp and /dev/shm of the sandbox.
set -e
mount -t tmpfs -o "$1" tmpfs /tmp
mkdir /tmp/tmp /tmp/shm
shift
exec bwrap "$@"
