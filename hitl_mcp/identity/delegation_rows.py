"""Delegations as rows: reading one, and ending those that have lost their ground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Row, or_

from hitl_mcp.identity.delegation_terms import Delegation, DelegationScope
from hitl_mcp.identity.register import Changing
from hitl_mcp.storage.schema import delegations


def delegation_of(row: Row[Any]) -> Delegation:
    """The delegation that a row stands for."""
    return Delegation(
        row.delegation_id,
        row.delegator,
        row.delegate,
        row.starts_at,
        row.until,
        DelegationScope.from_json(row.scope),
        row.reason,
        row.created_at,
        row.created_by,
        row.absence_id,
        row.revoked_at,
        row.revoked_by,
    )


async def end_delegations(
    changing: Changing,
    person_id: str,
    *,
    actor: str,
    because: str,
    only: Callable[[Delegation], bool] = lambda _: True,
) -> None:
    """End those delegations from and to a person that are not over, now and for good."""
    rows = await changing.many(
        delegations,
        or_(delegations.c.delegator == person_id, delegations.c.delegate == person_id),
        delegations.c.until > changing.now,
        delegations.c.revoked_at.is_(None),
        order_by=delegations.c.delegation_id,
    )
    for row in rows:
        if only(delegation_of(row)):
            await end_delegation(changing, row, actor=actor, because=because)


async def end_delegation(changing: Changing, row: Row[Any], *, actor: str, because: str) -> None:
    """End one delegation now."""
    await changing.change(delegations, row, revoked_at=changing.now, revoked_by=actor)
    await changing.audit(
        "delegation.ended",
        actor=actor,
        subject=row.delegation_id,
        details={"from": row.delegator, "to": row.delegate, "because": because},
    )
