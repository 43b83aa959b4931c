"""Where approved programs run: one Protocol, three implementations, nothing ever outside of one."""
