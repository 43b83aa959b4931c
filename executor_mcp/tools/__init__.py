"""The MCP tools: one module per tool or close family."""
