"""Tables of the approval life cycle: actions, requests, revisions, decisions, idempotency keys, deadlines."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, text

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime, metadata

# Content-addressed: `canonical` holds the RFC 8785 bytes whose SHA-256 is `digest`.
actions = Table(
    "actions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("canonical", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("agent", Text, nullable=False),
    Column("action_type", Text, nullable=False),
    Column("action_digest", Text, ForeignKey("actions.digest"), nullable=False),
    Column("display_digest", Text, nullable=False),
    Column("justification", Text, nullable=False),
    Column("summary", Text),
    Column("risk_level", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("required_approvals", Integer, nullable=False),
    Column("required_assurance", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("decided_at", UtcTime),
    Column("valid_until", UtcTime),
    Column("token_id", Text),
    Column("revoked_at", UtcTime),
    Column("ended_by", Text),
    Column("ended_reason", Text),
    Column("trace_id", Text),
    Column("metadata", JsonText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("seal", Text, nullable=False),
    # The action's digest as long as the same agent asking for it again is attached to this request.
    Column("attachable_digest", Text),
    # Of here on the defaults are those of a row that the first release wrote; its seal is of format 1.
    Column("kind", Text, nullable=False, server_default="action"),
    Column("verdict", Text, nullable=False, server_default="ask"),
    Column("explanation", Text, nullable=False, server_default=""),
    Column("terms", Text, nullable=False, server_default="{}"),
    Column("assessment", Text),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("proposed_digest", Text, ForeignKey("actions.digest")),
    Column("seal_format", Integer, nullable=False, server_default="1"),
    CheckConstraint("required_approvals >= 0", name="required_approvals_not_negative"),
    CheckConstraint(
        "status IN ('PENDING', 'APPROVED', 'DENIED', 'TIMEOUT', 'CANCELLED', 'ANSWERED')", name="status_known"
    ),
    CheckConstraint(
        "kind <> 'canary' OR (status <> 'APPROVED' AND token_id IS NULL)", name="canary_never_approved"
    ),
    Index("uq_requests_attachable", "agent", "attachable_digest", unique=True),
    Index("ix_requests_agent_created", "agent", "created_at", "request_id"),
    Index("ix_requests_agent_status_created", "agent", "status", "created_at", "request_id"),
    Index("ix_requests_status_created", "status", "created_at", "request_id"),
    Index("ix_requests_created", "created_at", "request_id"),
    Index(
        "ix_requests_revoked",
        "revoked_at",
        sqlite_where=text("revoked_at IS NOT NULL"),
        postgresql_where=text("revoked_at IS NOT NULL"),
    ),
)

# The wordings of an action that was edited, the agent's own as number 0. Empty for all others.
revisions = Table(
    "revisions",
    metadata,
    Column("request_id", Text, ForeignKey("requests.request_id"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("action_digest", Text, ForeignKey("actions.digest"), nullable=False),
    Column("display_digest", Text, nullable=False),
    Column("editor", Text, nullable=False),
    Column("reason", Text),
    Column("at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("request_id", Text, ForeignKey("requests.request_id"), nullable=False),
    Column("person", Text, nullable=False),
    # The person folded (NFKC, case): what makes two spellings one person.
    Column("person_key", Text, nullable=False),
    Column("action_digest", Text, nullable=False),
    Column("display_digest", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("conditions", Text),
    Column("channel", Text, nullable=False),
    Column("assurance", Text, nullable=False),
    Column("evidence", JsonText, nullable=False),
    Column("decided_at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("stage", Integer, nullable=False, server_default="0"),
    Column("acted_as", Text),
    Column("reviewed_from", UtcTime),
    Column("seal_format", Integer, nullable=False, server_default="1"),
    CheckConstraint("verdict IN ('approve', 'deny')", name="verdict_known"),
    Index("uq_decisions_request_revision_person", "request_id", "revision", "person_key", unique=True),
    Index("ix_decisions_decided", "decided_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("request_id", Text, ForeignKey("requests.request_id"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

deadlines = Table(
    "deadlines",
    metadata,
    Column("request_id", Text, ForeignKey("requests.request_id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("due_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Index("ix_deadlines_due", "due_at"),
)
