"""`hitl proxy`: the gate in front of any MCP server.

Messages pass as they are in both directions; only `tools/call` is held until it may go on.
"""
