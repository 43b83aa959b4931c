"""What cannot be a shape, and why."""

from __future__ import annotations

from hitl_mcp.errors import HitlError


class ShapeRefused(HitlError):
    """A place or a pattern is not one that an approver can allow; `field` names the place."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field[:200]}: {reason}")
        self.field = field[:200]
        self.reason = reason
