"""How risky an action is: independent assessors, and the consensus of their votes."""
