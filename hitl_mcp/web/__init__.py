"""The HTTP doors: REST, the MCP endpoint, and the pages for people."""
