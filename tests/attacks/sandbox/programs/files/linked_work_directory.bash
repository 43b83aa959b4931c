# goal = "Another directory in place of the one that is handed out."
. ./attack.sh
cd /
mv /tmp/work /tmp/elsewhere
ln -s /etc /tmp/work
held
