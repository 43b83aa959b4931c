"""How the demonstration ends when something did not hold."""

from __future__ import annotations

from hitl_mcp.errors import HitlError


class StepFailed(HitlError):
    """A step of the story did not hold: `step` names it."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"The step {step!r} did not hold: {detail}")
        self.step = step


class Declined(HitlError):
    """The person at the terminal said no; the agent was told so, and nothing ran."""
