# goal = "A program that gives more rights than its caller has: setuid, setgid, file capabilities."
. ./attack.sh
before=$(id)
cp /bin/sh ./sh && chmod 6755 ./sh && ./sh -c id >out 2>/dev/null
grep -v "^$before\$" out >/dev/null && breach "$(cat out)"
rm -f sh out
! grep -q 'NoNewPrivs:[[:space:]]*0' /proc/self/status || breach "new privileges are possible"
for kind in Eff Prm Inh Amb; do
  value=$(grep "^Cap$kind" /proc/self/status | cut -f 2)
  [ "$((16#${value:-0}))" = 0 ] || breach "capabilities: $kind $value"
done
must_fail su su -c id
must_fail sudo sudo -n id
[ "$(id)" = "$before" ] || breach "$(id)"
held
