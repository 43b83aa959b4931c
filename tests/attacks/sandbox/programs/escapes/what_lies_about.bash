# goal = "Whatever of the host's is mounted here: keys, sockets, homes, logs, the engine."
. ./attack.sh
for path in /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /run/dbus/system_bus_socket \
  /run/systemd/private /.dockerenv.secret /etc/shadow /etc/ssh /home/* /root/* /var/lib/docker /var/log/syslog /boot/* \
  /run/secrets /var/run/secrets /proc/kcore /dev/mem /dev/kmem /dev/port /dev/kmsg /dev/sda /dev/vda /dev/nvme0n1 \
  /dev/kvm /dev/fuse /dev/net/tun /dev/loop-control /dev/mapper/control /sys/kernel/debug/* /sys/kernel/security/* \
  /sys/firmware/efi/efivars/* /sys/fs/bpf/*; do
  [ -e "$path" ] || continue
  must_fail "$path can be read" head -c 1 "$path"
  must_fail "$path can be listed" sh -c "test -d '$path' && test -n \"\$(ls -A '$path')\""
done
held
