"""The executor's tables. The migrations make exactly these; a test holds the two together."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from executor_mcp.storage.columns import UtcTime
from server_kit.audit_log import audit_tables

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

spent_tokens = Table(
    "spent_tokens",
    metadata,
    Column("token_id", String(512), primary_key=True),
    Column("execution_id", String(64), nullable=False, unique=True),
    Column("spent_at", UtcTime, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    Column("execution_id", String(64), primary_key=True),
    Column("token_id", String(512), ForeignKey("spent_tokens.token_id"), nullable=False, unique=True),
    Column("request_id", String(512), nullable=False),
    Column("agent", String(512), nullable=False),
    Column("action_digest", String(64), nullable=False),
    Column("language", String(32), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("backend", String(32), nullable=False),
    Column("runtime", String(255), nullable=False),
    Column("image_digest", String(255)),
    # JSON: the packages that were laid in, each with the digest of its files; null for none.
    Column("packages", Text),
    Column("status", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("cancel_requested_at", UtcTime),
    Column("receipt", Text),
    # A JSON list of texts; NULL for none.
    Column("warnings", Text),
    # What it may take at most, which is held against quotas until its end.
    Column("wall_limit_seconds", Float),
    Column("cpu_limit_seconds", Float),
    # What the output, the result and the files take, until they are swept away.
    Column("stored_bytes", BigInteger, nullable=False, server_default="0"),
    Column("output_removed_at", UtcTime),
    Index("ix_executions_agent_created_at", "agent", "created_at"),
    Index("ix_executions_status_owner", "status", "owner"),
    Index("ix_executions_finished_at", "finished_at"),
    Index(
        "ix_executions_kept",
        "finished_at",
        "stored_bytes",
        sqlite_where=text("stored_bytes > 0"),
        postgresql_where=text("stored_bytes > 0"),
    ),
)

execution_approvers = Table(
    "execution_approvers",
    metadata,
    Column("execution_id", String(64), ForeignKey("executions.execution_id"), primary_key=True),
    Column("person", String(512), primary_key=True),
    Column("created_at", UtcTime, nullable=False),
    Index("ix_execution_approvers_person_created_at", "person", "created_at"),
)

waiting_executions = Table(
    "waiting_executions",
    metadata,
    Column("execution_id", String(64), ForeignKey("executions.execution_id"), primary_key=True),
    Column("token", Text, nullable=False),
    Column("action", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("enqueued_at", UtcTime, nullable=False),
    Column("lapses_at", UtcTime, nullable=False),
    Column("claimed_by", String(64)),
    Index("ix_waiting_executions_claimed_by_enqueued_at", "claimed_by", "enqueued_at"),
)

execution_outcomes = Table(
    "execution_outcomes",
    metadata,
    Column("execution_id", String(64), ForeignKey("executions.execution_id"), primary_key=True),
    Column("ended_by", String(32), nullable=False),
    Column("detail", Text),
    Column("exit_code", Integer),
    Column("stdout", LargeBinary, nullable=False),
    Column("stderr", LargeBinary, nullable=False),
    Column("result_json", LargeBinary),
    Column("truncated", Boolean, nullable=False),
    Column("files_truncated", Boolean, nullable=False),
    Column("wall_seconds", Float),
    Column("cpu_seconds", Float),
    Column("peak_memory_bytes", BigInteger),
    Column("output_bytes", BigInteger),
    Column("peak_processes", BigInteger),
    Column("read_bytes", BigInteger),
    Column("written_bytes", BigInteger),
    Column("checkpoint_json", LargeBinary),
    # JSON: the connections that the program asked for; null for none.
    Column("connections", Text),
)

# While a program runs: what would be lost with the process that runs it. Gone with the end.
running_output = Table(
    "running_output",
    metadata,
    Column("execution_id", String(64), ForeignKey("executions.execution_id"), primary_key=True),
    Column("stream", String(8), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

running_progress = Table(
    "running_progress",
    metadata,
    Column("execution_id", String(64), ForeignKey("executions.execution_id"), primary_key=True),
    Column("wall_seconds", Float, nullable=False),
    Column("cpu_seconds", Float),
    Column("peak_memory_bytes", BigInteger),
    Column("peak_processes", BigInteger),
    Column("read_bytes", BigInteger),
    Column("written_bytes", BigInteger),
    # The last one that was complete, as the program wrote it.
    Column("checkpoint", LargeBinary),
)

execution_files = Table(
    "execution_files",
    metadata,
    Column("execution_id", String(64), ForeignKey("executions.execution_id"), primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("media_type", String(255), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

executor_processes = Table(
    "executor_processes",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("process_id", BigInteger, nullable=False),
    # Microseconds of the database's own clock, so that hosts need not agree on the time.
    Column("alive_until", BigInteger, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
)

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("token_id", String(512), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("revoked_at", UtcTime, nullable=False),
)

audit = audit_tables(metadata)

MIGRATIONS = Path(__file__).parent / "migrations"
"""What `server_kit.database.migrations.migrate` runs."""
