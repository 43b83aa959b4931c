"""The command `hitl-executor`."""

from __future__ import annotations

from executor_mcp.cli.application import main

__all__ = ["main"]
