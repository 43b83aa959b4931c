"""The `hitl` command: one module per family of commands, `main` is the console script."""

from __future__ import annotations

from hitl_mcp.cli.application import main

__all__ = ["main"]
