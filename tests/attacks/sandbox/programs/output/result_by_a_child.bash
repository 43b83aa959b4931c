# goal = "A result that is too large, too deep or no JSON, by the descriptor that the driver left."
. ./attack.sh
{ head -c 3000000 /dev/zero | tr '\0' '[' >&3; } 2>/dev/null
{ printf 'NaN' >&3; } 2>/dev/null
held
