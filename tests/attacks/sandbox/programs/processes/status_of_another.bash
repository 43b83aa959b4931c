# goal = "To be taken for a success: the status of a child, an ending by a signal that looks like an exit."
# ends = ["signalled"]
# says = ""
(exit 0) &
wait
kill -SEGV $$
sleep 5
