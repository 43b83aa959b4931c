"""The tables of an audit log, and the triggers by which the database itself refuses to change what is
written.

Entries may leave the database in one way: below the end of a segment that was recorded (`audit_archive`). The
database cannot check a segment's signature; whoever writes it can record a false one and delete entries.
Verification finds that: the signature, the file and the chain's own entry about it are all missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import DDL, BigInteger, Column, Index, MetaData, Table, Text, event

from server_kit.database.base import Dialect

_REFUSAL: Final = "the audit log is append-only"
_ARCHIVED: Final = "(SELECT coalesce(max(last_sequence), 0) FROM audit_segments)"
_HEAD: Final = "(SELECT coalesce(max(sequence), 0) FROM audit_entries)"
_WRONG_SEGMENT: Final = (
    f"NEW.first_sequence <> {_ARCHIVED} + 1 OR NEW.last_sequence < NEW.first_sequence "
    f"OR NEW.last_sequence >= {_HEAD}"
)


def _sqlite(table: str, act: str, when: str = "", *, name: str | None = None) -> str:
    condition = f"WHEN {when} " if when else ""
    return (
        f"CREATE TRIGGER {table}_refuse_{name or act.lower()} BEFORE {act} ON {table} "
        f"{condition}BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    )


# INSERT OR REPLACE deletes without asking the trigger for deletes.
_SQLITE: Final = {
    "audit_entries": (
        _sqlite("audit_entries", "UPDATE"),
        _sqlite("audit_entries", "DELETE", f"OLD.sequence > {_ARCHIVED}"),
        _sqlite("audit_entries", "INSERT", f"NEW.sequence <> {_HEAD} + 1", name="replace"),
    ),
    "audit_checkpoints": (
        _sqlite("audit_checkpoints", "UPDATE"),
        _sqlite("audit_checkpoints", "DELETE", f"OLD.sequence > {_ARCHIVED}"),
        _sqlite(
            "audit_checkpoints",
            "INSERT",
            "EXISTS (SELECT 1 FROM audit_checkpoints WHERE sequence = NEW.sequence)",
            name="replace",
        ),
    ),
    "audit_segments": (
        _sqlite("audit_segments", "UPDATE"),
        _sqlite("audit_segments", "DELETE"),
        _sqlite("audit_segments", "INSERT", _WRONG_SEGMENT, name="replace"),
    ),
}


def _postgresql_function(name: str, allowed: str) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {allowed}RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$"
    )


def _postgresql(table: str, allowed: str) -> tuple[str, ...]:
    function = f"{table}_refuse_change"
    return (
        _postgresql_function(function, allowed),
        f"CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {function}()",
        f"CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    )


# Nested, because a statement trigger has no OLD and plpgsql may evaluate both sides of an AND.
_ROW_IS_ARCHIVED: Final = (
    f"IF TG_OP = 'DELETE' THEN IF OLD.sequence <= {_ARCHIVED} THEN RETURN OLD; END IF; END IF; "
)
_POSTGRESQL: Final = {
    "audit_entries": _postgresql("audit_entries", _ROW_IS_ARCHIVED),
    "audit_checkpoints": _postgresql("audit_checkpoints", _ROW_IS_ARCHIVED),
    "audit_segments": (
        *_postgresql("audit_segments", ""),
        _postgresql_function(
            "audit_segments_refuse_wrong", f"IF NOT ({_WRONG_SEGMENT}) THEN RETURN NEW; END IF; "
        ),
        "CREATE TRIGGER audit_segments_refuse_wrong BEFORE INSERT ON audit_segments "
        "FOR EACH ROW EXECUTE FUNCTION audit_segments_refuse_wrong()",
    ),
}
_TRIGGERS: Final[dict[Dialect, dict[str, tuple[str, ...]]]] = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}

# As the first schema had them, before there were segments.
_FIRST_SQLITE: Final = (
    *_SQLITE["audit_entries"][:1],
    _sqlite("audit_entries", "DELETE"),
    *_SQLITE["audit_entries"][2:],
    *_SQLITE["audit_checkpoints"][:1],
    _sqlite("audit_checkpoints", "DELETE"),
    *_SQLITE["audit_checkpoints"][2:],
)
_FIRST_POSTGRESQL: Final = (*_postgresql("audit_entries", ""), *_postgresql("audit_checkpoints", ""))
_DROPPED: Final = (
    "DROP TRIGGER audit_entries_refuse_delete",
    "DROP TRIGGER audit_checkpoints_refuse_delete",
)


@dataclass(frozen=True)
class AuditTables:
    """The log's tables in a server's own metadata."""

    entries: Table
    checkpoints: Table
    segments: Table


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
        Index("ix_audit_entries_event", "event", "sequence"),
        Index("ix_audit_entries_actor", "actor", "sequence"),
        Index("ix_audit_entries_at", "at"),
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
    segments = Table(
        "audit_segments",
        metadata,
        Column("last_sequence", BigInteger, primary_key=True, autoincrement=False),
        Column("first_sequence", BigInteger, nullable=False),
        Column("chain", Text, nullable=False),
        Column("previous_hash", Text, nullable=False),
        Column("last_hash", Text, nullable=False),
        Column("entries", BigInteger, nullable=False),
        Column("file_name", Text, nullable=False),
        Column("file_digest", Text, nullable=False),
        Column("at", Text, nullable=False),
        Column("key_id", Text, nullable=False),
        Column("signature", Text, nullable=False),
    )
    for table in (entries, checkpoints, segments):
        for dialect, triggers in _TRIGGERS.items():
            for statement in triggers[table.name]:
                event.listen(table, "after_create", DDL(statement).execute_if(dialect=dialect))
    return AuditTables(entries, checkpoints, segments)


def audit_trigger_statements(dialect: Dialect) -> tuple[str, ...]:
    """Return the statements that make the first schema's triggers, for the migration that makes it."""
    return _FIRST_POSTGRESQL if dialect == "postgresql" else _FIRST_SQLITE


def segment_trigger_statements(dialect: Dialect) -> tuple[str, ...]:
    """Return the statements that let archived entries go, once the table of segments is there."""
    if dialect == "postgresql":
        functions = tuple(_POSTGRESQL[table][0] for table in ("audit_entries", "audit_checkpoints"))
        return (*functions, *_POSTGRESQL["audit_segments"])
    dropped = ("DROP TRIGGER audit_entries_refuse_delete", "DROP TRIGGER audit_checkpoints_refuse_delete")
    return (
        *dropped,
        _SQLITE["audit_entries"][1],
        _SQLITE["audit_checkpoints"][1],
        *_SQLITE["audit_segments"],
    )


def first_trigger_statements_again(dialect: Dialect) -> tuple[str, ...]:
    """Undo `segment_trigger_statements`, before the table of segments goes."""
    if dialect == "postgresql":
        return (_FIRST_POSTGRESQL[0], _FIRST_POSTGRESQL[3])
    return (*_DROPPED, _FIRST_SQLITE[1], _FIRST_SQLITE[4])
