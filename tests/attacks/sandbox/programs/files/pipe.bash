# goal = "A file that is never read to its end: a named pipe, a socket."
. ./attack.sh
mkfifo pipe inner.pipe
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
held
