"""Telegram: the Bot API over HTTPS with long polling."""
