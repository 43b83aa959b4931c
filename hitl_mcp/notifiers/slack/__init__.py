"""Slack: the Web API through slack-sdk and interactions through Socket Mode."""
