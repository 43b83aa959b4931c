"""The MCP tools of the approval server, one module for each."""
