"""The REST API under /api/v1, and what operators and executors read."""
