"""The approval server's audit log, as its own parts see it."""
