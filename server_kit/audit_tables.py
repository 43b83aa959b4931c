"""The tables of an audit log, and the triggers by which the database itself refuses to change what is
written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import DDL, BigInteger, Column, Index, MetaData, Table, Text, event

from server_kit.database.base import Dialect

_REFUSAL: Final = "the audit log is append-only"

# ruff: noqa: S608 - the only thing put into these statements is the constant above.
_SQLITE: Final = {
    "audit_entries": (
        f"CREATE TRIGGER audit_entries_refuse_update BEFORE UPDATE ON audit_entries "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
        f"CREATE TRIGGER audit_entries_refuse_delete BEFORE DELETE ON audit_entries "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
        # INSERT OR REPLACE deletes without asking the trigger for deletes.
        f"CREATE TRIGGER audit_entries_refuse_replace BEFORE INSERT ON audit_entries "
        f"WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM audit_entries) "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    ),
    "audit_checkpoints": (
        f"CREATE TRIGGER audit_checkpoints_refuse_update BEFORE UPDATE ON audit_checkpoints "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
        f"CREATE TRIGGER audit_checkpoints_refuse_delete BEFORE DELETE ON audit_checkpoints "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
        f"CREATE TRIGGER audit_checkpoints_refuse_replace BEFORE INSERT ON audit_checkpoints "
        f"WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE sequence = NEW.sequence) "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    ),
}


def _postgresql(table: str) -> tuple[str, ...]:
    function = f"{table}_refuse_change"
    return (
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$",
        f"CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {function}()",
        f"CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    )


_TRIGGERS: Final[dict[Dialect, dict[str, tuple[str, ...]]]] = {
    "sqlite": _SQLITE,
    "postgresql": {table: _postgresql(table) for table in _SQLITE},
}


@dataclass(frozen=True)
class AuditTables:
    """The log's tables in a server's own metadata."""

    entries: Table
    checkpoints: Table


def audit_tables(metadata: MetaData) -> AuditTables:
    """Add the tables to `metadata`; `metadata.create_all` makes the triggers too."""
    entries = Table(
        "audit_entries",
        metadata,
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        Column("chain", Text, nullable=False),
        Column("at", Text, nullable=False),
        Column("event", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("details", Text, nullable=False),
        Column("previous_hash", Text, nullable=False),
        Column("entry_hash", Text, nullable=False),
        Index("ix_audit_entries_subject", "subject"),
    )
    checkpoints = Table(
        "audit_checkpoints",
        metadata,
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        Column("chain", Text, nullable=False),
        Column("entry_hash", Text, nullable=False),
        Column("at", Text, nullable=False),
        Column("key_id", Text, nullable=False),
        Column("signature", Text, nullable=False),
    )
    for table in (entries, checkpoints):
        for dialect, triggers in _TRIGGERS.items():
            for statement in triggers[table.name]:
                event.listen(table, "after_create", DDL(statement).execute_if(dialect=dialect))
    return AuditTables(entries, checkpoints)


def audit_trigger_statements(dialect: Dialect) -> tuple[str, ...]:
    """Return the statements that make the triggers, for a migration that makes the tables by itself."""
    return tuple(statement for statements in _TRIGGERS[dialect].values() for statement in statements)
