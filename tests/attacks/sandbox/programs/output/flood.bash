# goal = "The server's memory, by output without end on both streams."
# says = ""
# [limits]
# output_kb = 16
. ./attack.sh
yes | head -c 40000000
yes | head -c 40000000 >&2
