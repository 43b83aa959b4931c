# goal = "A file of the sandbox's or the host's, handed out by a link to it."
. ./attack.sh
ln -s /etc/passwd passwd
ln -s "$(given secret_file)" secret
ln -s /proc/self/environ environment
ln -s ../../etc/hostname hostname
ln -s /dev/zero endless
held
