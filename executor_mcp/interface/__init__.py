"""What every door takes and gives: the arguments and the answers that MCP and REST share."""
