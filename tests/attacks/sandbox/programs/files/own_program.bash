# goal = "To change the evidence: its own program, its helper and its input."
# files = ["attack.sh", "program.sh"]
. ./attack.sh
# Under a new name first: a shell reads its program as it goes.
echo 'echo something else' >other && mv other program.sh
echo changed >other && mv other attack.sh
rm -f /tmp/input.json
echo '{}' >/tmp/input.json 2>/dev/null
held
