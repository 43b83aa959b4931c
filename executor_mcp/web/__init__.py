"""The HTTP door: REST, the MCP endpoint, health, metrics and the public keys."""
