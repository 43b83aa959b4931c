"""The whole schema of the approval server: `metadata` and every table, importable from here."""

from hitl_mcp.storage.schema.approvals import (
    actions,
    deadlines,
    decisions,
    idempotency_keys,
    requests,
    revisions,
)
from hitl_mcp.storage.schema.attention import canaries, canary_schedule
from hitl_mcp.storage.schema.dialogue import answers, questions
from hitl_mcp.storage.schema.grants import grant_uses, grants
from hitl_mcp.storage.schema.identity import (
    absences,
    agents,
    channel_identities,
    delegations,
    group_members,
    identity_changes,
    people,
    people_groups,
    sessions,
    sign_in_attempts,
)
from hitl_mcp.storage.schema.metadata import SEALED_WHEN_SET, JsonText, UtcTime, metadata
from hitl_mcp.storage.schema.notifications import card_faces, cards, handled_callbacks, leases, outbox
from server_kit.audit_tables import audit_tables

audit = audit_tables(metadata)

__all__ = [
    "SEALED_WHEN_SET",
    "JsonText",
    "UtcTime",
    "absences",
    "actions",
    "agents",
    "answers",
    "audit",
    "canaries",
    "canary_schedule",
    "card_faces",
    "cards",
    "channel_identities",
    "deadlines",
    "decisions",
    "delegations",
    "grant_uses",
    "grants",
    "group_members",
    "handled_callbacks",
    "idempotency_keys",
    "identity_changes",
    "leases",
    "metadata",
    "outbox",
    "people",
    "people_groups",
    "questions",
    "requests",
    "revisions",
    "sessions",
    "sign_in_attempts",
]
