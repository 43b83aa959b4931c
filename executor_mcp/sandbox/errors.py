"""What a sandbox can refuse or fail at. Messages name the value and the remedy, never the program."""

from __future__ import annotations

from executor_mcp.errors import ExecutorError


class SandboxError(ExecutorError):
    """Root of everything raised by a sandbox."""


class SandboxRefused(SandboxError):
    """The job asks for something that this sandbox does not offer; another attempt would be refused too."""


class SandboxUnavailable(SandboxError):
    """The sandbox cannot run anything now: an engine, an image or a tool is missing."""


class SandboxBusy(SandboxUnavailable):
    """Too many ask at once. `wait_seconds`: when it is worth to ask again, as things go now."""

    def __init__(self, why: str, wait_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(f"{why}; try again in about {max(1, round(wait_seconds))} s")


class SandboxFailed(SandboxError):
    """The sandbox broke while it was being set up; whether the program began is not known."""


class ImageBuildFailed(SandboxError):
    """The sandbox image could not be built; the message ends with the last lines of the failing tool."""
