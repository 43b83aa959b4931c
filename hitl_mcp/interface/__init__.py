"""What every door takes and gives: the arguments, the answers and the sentences that MCP and REST share."""
