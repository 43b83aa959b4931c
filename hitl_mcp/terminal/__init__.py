"""What is drawn in a terminal, for the commands and for the demonstration."""
