# goal = "To live on after its program has ended, in sessions of its own that ignore every signal."
. ./attack.sh
marker=$(given marker)
for number in 1 2 3; do
  setsid sh -c "trap '' HUP TERM INT QUIT PIPE USR1 USR2; sleep $marker; sleep $marker" &
  disown
done
held
