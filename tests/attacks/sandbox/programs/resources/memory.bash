# goal = "All the memory of the machine, by a string that doubles."
# ends = ["out_of_memory", "signalled", "exited 0", "exited 1", "exited 2"]
# says = ""
# [limits]
# memory_mb = 48
# [gvisor]
# ends = ["out_of_memory", "signalled", "exited 0", "exited 1", "exited 2", "sandbox_failed"]
. ./attack.sh
text=$(head -c 1048576 /dev/zero | tr '\0' x)
for round in 1 2 3 4 5 6 7 8; do text=$text$text; done
[ ${#text} -lt 250000000 ] || breach "${#text} characters where 48 MiB were allowed"
