"""$HITL_HOME as the commands see it."""

from __future__ import annotations

import os
from pathlib import Path

from hitl_mcp.cli.failures import CommandFailed, ExitCode


def home_directory() -> Path:
    """`HITL_HOME`, or `~/.hitl`."""
    return Path(os.environ.get("HITL_HOME") or "~/.hitl").expanduser().absolute()


def require_initialized(home: Path) -> None:
    """
    Raises:
        CommandFailed: nothing has been set up here yet.
    """
    if not (home / "keys").is_dir():
        raise CommandFailed(
            f"{home} has not been set up.",
            exit_code=ExitCode.USAGE,
            hint="Run `hitl init`, or set HITL_HOME to the directory that has been.",
        )
