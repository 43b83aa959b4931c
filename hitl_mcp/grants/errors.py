"""What grants refuse. Every message is safe to show to a person."""

from __future__ import annotations

from hitl_mcp.errors import HitlError


class GrantError(HitlError):
    """Base of everything that is refused about grants."""


class GrantRefused(GrantError):
    """A grant cannot be made like this; `field` names what is in the way."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class GrantNotAllowed(GrantError):
    """This person may not give or end this grant."""


class UnknownGrant(GrantError):
    """There is no such grant, or it is over."""

    def __init__(self, grant_id: str) -> None:
        super().__init__(f"There is no grant {grant_id[:80]!r} in force. See: hitl grants list")
