"""Executions in namespaces of their own within one container for each agent: opt-in, fast, and weaker."""
