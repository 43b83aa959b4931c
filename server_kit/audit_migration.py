"""Sealed segments and the indexes of a search, as a step for the migrations of both servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from server_kit.audit_tables import first_trigger_statements_again, segment_trigger_statements
from server_kit.database.base import Dialect

if TYPE_CHECKING:
    from alembic.operations import Operations

_INDEXES: Final = {
    "ix_audit_entries_event": ["event", "sequence"],
    "ix_audit_entries_actor": ["actor", "sequence"],
    "ix_audit_entries_at": ["at"],
}


def add_segments(operations: Operations) -> None:
    """Make the table, its triggers and the indexes."""
    operations.create_table(
        "audit_segments",
        sa.Column("last_sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("last_hash", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("file_digest", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("last_sequence", name=operations.f("pk_audit_segments")),
    )
    for name, columns in _INDEXES.items():
        operations.create_index(name, "audit_entries", columns, unique=False)
    for statement in segment_trigger_statements(_dialect(operations)):
        operations.execute(statement)


def remove_segments(operations: Operations) -> None:
    """Undo `add_segments`. What was archived stays in its files."""
    for statement in first_trigger_statements_again(_dialect(operations)):
        operations.execute(statement)
    for name in _INDEXES:
        operations.drop_index(name, "audit_entries")
    operations.drop_table("audit_segments")
    if _dialect(operations) == "postgresql":
        for function in ("audit_segments_refuse_change", "audit_segments_refuse_wrong"):
            operations.execute(f"DROP FUNCTION {function}()")


def _dialect(operations: Operations) -> Dialect:
    return "postgresql" if operations.get_bind().dialect.name == "postgresql" else "sqlite"
