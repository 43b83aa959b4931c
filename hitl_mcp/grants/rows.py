"""Grants and their uses as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from hitl_mcp.approvals.grants import Grant, GrantUse
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.shapes.shape import Shape


def grant_of(row: Row[Any]) -> Grant:
    """The grant that a row stands for. Raises ValueError for what this server never writes."""
    return Grant(
        grant_id=row.grant_id,
        agent=row.agent,
        person=row.person,
        shape=Shape.from_text(row.shape),
        wording=row.wording,
        wording_digest=row.wording_digest,
        rule=row.rule,
        terms_digest=row.terms_digest,
        max_risk=RiskLevel(row.max_risk),
        allowed=row.allowed,
        used=row.used,
        request_id=row.request_id,
        channel=row.channel,
        assurance=Assurance(row.assurance),
        reason=row.reason,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
    )


def values_of(grant: Grant, evidence: Mapping[str, str]) -> dict[str, Any]:
    """The row of a new grant; `evidence` is what proves that it was its person who gave it."""
    return {
        "grant_id": grant.grant_id,
        "agent": grant.agent,
        "person": grant.person,
        "shape": grant.shape.to_text(),
        "wording": grant.wording,
        "wording_digest": grant.wording_digest,
        "rule": grant.rule,
        "terms_digest": grant.terms_digest,
        "max_risk": grant.max_risk.value,
        "allowed": grant.allowed,
        "used": grant.used,
        "request_id": grant.request_id,
        "channel": grant.channel,
        "assurance": grant.assurance.value,
        "reason": grant.reason,
        "evidence": dict(evidence),
        "created_at": grant.created_at,
        "expires_at": grant.expires_at,
        "revoked_at": grant.revoked_at,
        "revoked_by": grant.revoked_by,
    }


def use_of(row: Row[Any]) -> GrantUse:
    """The use that a row stands for."""
    return GrantUse(
        request_id=row.request_id,
        grant_id=row.grant_id,
        number=row.number,
        action_digest=row.action_digest,
        groups=frozenset(row.groups),
        used_at=row.used_at,
        seal=row.seal,
    )
