"""Ending grants whose person or agent lost their standing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row

from hitl_mcp.identity.register import Changing
from hitl_mcp.storage.schema import grants


async def end_grants(changing: Changing, whose: ColumnElement[bool], *, actor: str, because: str) -> None:
    """End those grants that meet the condition and are not over, now and for good."""
    rows = await changing.many(
        grants,
        whose,
        grants.c.expires_at > changing.now,
        grants.c.revoked_at.is_(None),
        order_by=grants.c.grant_id,
    )
    for row in rows:
        await end_grant(changing, row, actor=actor, because=because)


async def end_grant(changing: Changing, row: Row[Any], *, actor: str, because: str) -> None:
    """End one grant now: it covers nothing more, and what it covered is worth nothing until collected."""
    await changing.change(grants, row, revoked_at=changing.now, revoked_by=actor)
    await changing.audit(
        "grant.ended",
        actor=actor,
        subject=row.grant_id,
        details={
            "agent": row.agent,
            "person": row.person,
            "because": because,
            "used": row.used,
            "allowed": row.allowed,
        },
    )
