"""Static analysis of shell scripts and of single commands."""
