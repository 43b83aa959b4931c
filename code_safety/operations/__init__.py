"""Static analysis of actions other than programs: commands, file changes, requests, tool calls."""
