"""What an approver wants instead, for an agent whose call cannot become that."""

from __future__ import annotations

from typing import Final

from hitl_contract.action import Action, canonical_action

_LONGEST: Final = 2000


def wanted_instead(approved: Action) -> str:
    """The edited action as the agent may ask for it; of a long one the beginning, and how much is missing."""
    text = canonical_action(approved).decode()
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text) - _LONGEST} characters more)"
    return f"The approver edited it into this, which you may ask for: {shown}"
