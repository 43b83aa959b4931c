"""The whole schema of the approval server: `metadata` and every table, importable from here."""

from hitl_mcp.storage.schema.approvals import (
    actions,
    deadlines,
    decisions,
    idempotency_keys,
    requests,
    revisions,
)
from hitl_mcp.storage.schema.identity import agents, channel_identities, people, sessions, sign_in_attempts
from hitl_mcp.storage.schema.metadata import JsonText, UtcTime, metadata
from hitl_mcp.storage.schema.notifications import cards, handled_callbacks, leases, outbox
from server_kit.audit_tables import audit_tables

audit = audit_tables(metadata)

__all__ = [
    "JsonText",
    "UtcTime",
    "actions",
    "agents",
    "audit",
    "cards",
    "channel_identities",
    "deadlines",
    "decisions",
    "handled_callbacks",
    "idempotency_keys",
    "leases",
    "metadata",
    "outbox",
    "people",
    "requests",
    "revisions",
    "sessions",
    "sign_in_attempts",
]
