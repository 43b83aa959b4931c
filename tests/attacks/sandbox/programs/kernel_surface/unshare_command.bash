# goal = "Namespaces by the tools that are there for it."
. ./attack.sh
for options in -U -r -m -n -p -u -i -C "-Urmn" "-rmpf --mount-proc"; do
  must_fail "unshare $options" unshare $options true
done
must_fail nsenter nsenter --target 1 --all true
must_fail chroot chroot /tmp /bin/true
must_fail mount mount -t tmpfs none /tmp/work
must_fail mount-proc mount -t proc proc /tmp/work
held
