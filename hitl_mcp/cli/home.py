"""$HITL_HOME as the commands see it: where it is, what is in it, whether a server is up on it."""

from __future__ import annotations

import os
import shutil
import sys
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


def console_script(name: str) -> str:
    """The absolute path of one of this distribution's commands: a client may have another PATH.

    Raises:
        CommandFailed: the command is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    if beside.is_file():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise CommandFailed(
            f"The command {name} is not installed.",
            exit_code=ExitCode.ENVIRONMENT,
            hint="Install both servers: pip install 'hitl-mcp[server,executor]'",
        )
    return found
