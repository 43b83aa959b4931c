"""Who calls (agents), who may decide (people), and how each proves it."""
