"""How a command ends when it does not end well: an exit code with a meaning, why, and what to do next."""

from __future__ import annotations

import traceback
from enum import IntEnum
from pathlib import Path

from hitl_mcp.errors import HitlError


class ExitCode(IntEnum):
    """What the shell is told. Scripts may rely on these values."""

    OK = 0
    REFUSED = 1
    """The question was answered with no: not found, denied, already ended, a chain that is broken."""
    USAGE = 2
    """The command line or a setting is wrong."""
    ENVIRONMENT = 3
    """Something this machine should provide is missing: a server, a port, a database, a sandbox."""
    IDENTITY = 4
    """Who is asking could not be proven, or may not do this."""
    INTERNAL = 70
    """A defect of this program."""
    INTERRUPTED = 130
    TERMINATED = 143


class CommandFailed(HitlError):
    """Ends a command. `message` says what was wrong, `hint` what to do next; both are shown as they are."""

    def __init__(
        self, message: str, *, exit_code: ExitCode | int = ExitCode.REFUSED, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = int(exit_code)
        self.hint = hint


def describe_unexpected(error: BaseException) -> CommandFailed:
    """One line for a defect: its type and where it was raised. Its message may hold secrets: left out."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return CommandFailed(
        f"Unexpected error: {type(error).__name__}{where}.",
        exit_code=ExitCode.INTERNAL,
        hint="This is a defect in hitl; please report it with the command you ran.",
    )
