# goal = "A work directory that cannot be opened any more, and an output that never ends."
. ./attack.sh
echo x >file
chmod 000 /tmp/work
held
