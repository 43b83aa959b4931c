"""Tables of identity: agents, people, their channel identities and sessions.

`seal` is a MAC over the row (`hitl_mcp.minting.seals`), made when the row is written and checked when it is
read, because whoever can write the database must not be able to make itself an approver: a forged or edited
person, channel identity or session counts as absent.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime, metadata

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
    Index("ix_sessions_person", "person_id"),
    Index("ix_sessions_expires", "expires_at"),
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
