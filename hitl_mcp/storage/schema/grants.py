"""Tables of grants and their uses. Their rows count under their seals, read through the identity register."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime, metadata

# The agent comes first in the key, so that the register alone tells which agents have grants.
grants = Table(
    "grants",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("grant_id", Text, primary_key=True),
    Column("person", Text, ForeignKey("people.person_id"), nullable=False),
    Column("shape", Text, nullable=False),
    Column("wording", Text, nullable=False),
    Column("wording_digest", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("terms_digest", Text, nullable=False),
    Column("max_risk", Text, nullable=False),
    Column("allowed", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("request_id", Text, ForeignKey("requests.request_id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("assurance", Text, nullable=False),
    Column("reason", Text),
    Column("evidence", JsonText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("revoked_by", Text),
    Column("seal", Text, nullable=False),
    CheckConstraint("used >= 0 AND used <= allowed", name="used_within_allowed"),
    Index("uq_grants_id", "grant_id", unique=True),
    Index("ix_grants_person", "person", "expires_at"),
)

# One row per use, never changed; `number` counts the uses of its grant from 1.
grant_uses = Table(
    "grant_uses",
    metadata,
    Column("request_id", Text, ForeignKey("requests.request_id"), primary_key=True),
    Column("grant_id", Text, ForeignKey("grants.grant_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("action_digest", Text, nullable=False),
    Column("groups", JsonText, nullable=False),
    Column("used_at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
    Index("uq_grant_uses_number", "grant_id", "number", unique=True),
)
