"""How the demonstration ends when something did not hold."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

from hitl_mcp.errors import HitlError


class StepFailed(HitlError):
    """A step of the story did not hold: `step` names it."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"The step {step!r} did not hold: {detail}")
        self.step = step


class Declined(HitlError):
    """The person at the terminal said no; the agent was told so, and nothing ran."""


@contextmanager
def first_failure() -> Generator[None]:
    """Raises the first thing that went wrong itself, not the group that a task group makes of it."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    if not isinstance(error, BaseExceptionGroup):
        return error
    return _first(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
