"""Tables of identity: agents, people, groups, delegations, absences, channel identities and sessions.

`seal` is a MAC over the row (`hitl_mcp.minting.seals`), made when the row is written and checked when it is
read, because whoever can write the database must not be able to make itself an approver: a forged or edited
row counts as absent. `identity_changes` is the register of which sealed row is the newest of its key
(`hitl_mcp.identity.register`), so that an older sealed row put back counts as absent too.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text

from hitl_mcp.storage.schema.metadata import SEALED_WHEN_SET, JsonText, UtcTime, metadata

agents = Table(
    "agents",
    metadata,
    Column("name", Text, primary_key=True),
    # The part of an API key that finds the row; the secret part is stored as its SHA-256 only.
    Column("key_id", Text, nullable=False, unique=True),
    Column("key_hash", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("seal", Text, nullable=False),
    # What rules may know of the agent; NULL is nothing to its favour.
    Column("facts", JsonText, info={SEALED_WHEN_SET: True}),
)

people = Table(
    "people",
    metadata,
    Column("person_id", Text, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("password_hash", Text),
    Column("roles", JsonText, nullable=False),
    Column("suspended_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
)

channel_identities = Table(
    "channel_identities",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("people.person_id"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
    Index("ix_channel_identities_person", "person_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("people.person_id"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("csrf_token", Text, nullable=False),
    Column("seal", Text, nullable=False),
    # The change of the register that last ended all sessions of this person, as of the signing in.
    Column("person_epoch", BigInteger, info={SEALED_WHEN_SET: True}),
    Index("ix_sessions_person", "person_id"),
    Index("ix_sessions_expires", "expires_at"),
)

people_groups = Table(
    "people_groups",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_name", Text, ForeignKey("people_groups.name"), primary_key=True),
    Column("person_id", Text, ForeignKey("people.person_id"), primary_key=True),
    Column("created_at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
    Index("ix_group_members_person", "person_id"),
)

delegations = Table(
    "delegations",
    metadata,
    Column("delegation_id", Text, primary_key=True),
    Column("delegator", Text, ForeignKey("people.person_id"), nullable=False),
    Column("delegate", Text, ForeignKey("people.person_id"), nullable=False),
    Column("starts_at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("scope", JsonText, nullable=False),
    Column("reason", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", Text, nullable=False),
    # The absence it stands in for, and ends with.
    Column("absence_id", Text),
    Column("revoked_at", UtcTime),
    Column("revoked_by", Text),
    Column("seal", Text, nullable=False),
    Index("ix_delegations_delegate", "delegate", "until"),
    Index("ix_delegations_delegator", "delegator", "until"),
)

absences = Table(
    "absences",
    metadata,
    Column("absence_id", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("people.person_id"), nullable=False),
    Column("starts_at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("substitute", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("seal", Text, nullable=False),
    Index("ix_absences_person", "person_id", "until"),
)

identity_changes = Table(
    "identity_changes",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("row_key", Text, nullable=False),
    # NULL: the row is gone.
    Column("row_seal", Text),
    Column("expires_at", UtcTime),
    Column("at", UtcTime, nullable=False),
    Column("link", Text, nullable=False),
)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("attempt_id", Integer, primary_key=True, autoincrement=True),
    Column("person_key", Text, nullable=False),
    Column("address", Text),
    Column("attempted_at", UtcTime, nullable=False),
    Column("succeeded", Integer, nullable=False),
    Index("ix_sign_in_attempts_person", "person_key", "attempted_at"),
    Index("ix_sign_in_attempts_address", "address", "attempted_at"),
    Index("ix_sign_in_attempts_attempted", "attempted_at"),
)
