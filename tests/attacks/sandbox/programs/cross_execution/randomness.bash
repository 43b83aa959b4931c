# goal = "To foretell another execution's random numbers, in a shell."
# differs = true
# says = ""
echo "$RANDOM $RANDOM $RANDOM $SRANDOM"
