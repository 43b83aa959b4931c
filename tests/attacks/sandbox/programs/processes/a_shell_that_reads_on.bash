# goal = "To go on by the input of the server, read from its own."
. ./attack.sh
if read -r -t 1 line; then breach "read: $line"; fi
[ "$(readlink /proc/self/fd/0)" = /dev/null ] || [ ! -e /proc/self/fd/0 ] || breach "input is $(readlink /proc/self/fd/0)"
held
