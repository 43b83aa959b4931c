"""How attentive approvers are: a measure of what is recorded anyway, and drills that show it."""
