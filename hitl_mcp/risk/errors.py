"""What can go wrong while risk is assessed. None of it reaches the request: the assessor is left out."""

from __future__ import annotations

from hitl_mcp.errors import HitlError


class AssessorUnavailable(HitlError):
    """An assessor cannot answer now. The message is shown with its vote and holds no secret."""
