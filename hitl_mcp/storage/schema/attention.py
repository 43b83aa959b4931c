"""Tables of drills: which canaries there were, and when the next one is due."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime, metadata

# `drill` names an entry of the catalogue, `asked` those whom it was put before. That a request is a canary is
# under the seal of the request itself.
canaries = Table(
    "canaries",
    metadata,
    Column("request_id", Text, ForeignKey("requests.request_id"), primary_key=True),
    Column("drill", Text, nullable=False),
    Column("asked", JsonText, nullable=False),
    Column("filed_at", UtcTime, nullable=False),
    Index("ix_canaries_filed", "filed_at"),
)

# One row. Whoever moves `due_at` on, in the transaction that files a canary, files it.
canary_schedule = Table(
    "canary_schedule",
    metadata,
    Column("name", Text, primary_key=True),
    Column("due_at", UtcTime, nullable=False),
)
