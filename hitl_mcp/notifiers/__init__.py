"""Channels through which people are told of requests and through which they answer."""
