"""Static analysis of code that somebody wants to run: findings and their severity. Pure functions."""
