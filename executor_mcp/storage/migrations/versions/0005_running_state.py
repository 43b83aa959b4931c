"""What a running program has put out so far, more of what it used, its checkpoint, and what is kept of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_running_state"
down_revision = "0004_packages"
branch_labels = None
depends_on = None

_STORED_BYTES = """
UPDATE executions SET stored_bytes =
  COALESCE((SELECT length(stdout) + length(stderr) + COALESCE(length(result_json), 0)
            FROM execution_outcomes WHERE execution_outcomes.execution_id = executions.execution_id), 0)
  + COALESCE((SELECT sum(size) FROM execution_files
              WHERE execution_files.execution_id = executions.execution_id), 0)
"""


def upgrade() -> None:
    op.add_column(
        "executions", sa.Column("stored_bytes", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("executions", sa.Column("output_removed_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_executions_finished_at", "executions", ["finished_at"], unique=False)
    op.create_index(
        "ix_executions_kept",
        "executions",
        ["finished_at", "stored_bytes"],
        unique=False,
        sqlite_where=sa.text("stored_bytes > 0"),
        postgresql_where=sa.text("stored_bytes > 0"),
    )
    for name in ("peak_processes", "read_bytes", "written_bytes"):
        op.add_column("execution_outcomes", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("execution_outcomes", sa.Column("checkpoint_json", sa.LargeBinary(), nullable=True))
    op.create_table(
        "running_output",
        sa.Column("execution_id", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=8), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["executions.execution_id"],
            name=op.f("fk_running_output_execution_id_executions"),
        ),
        sa.PrimaryKeyConstraint("execution_id", "stream", "start", name=op.f("pk_running_output")),
    )
    op.create_table(
        "running_progress",
        sa.Column("execution_id", sa.String(length=64), nullable=False),
        sa.Column("wall_seconds", sa.Float(), nullable=False),
        sa.Column("cpu_seconds", sa.Float(), nullable=True),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("peak_processes", sa.BigInteger(), nullable=True),
        sa.Column("read_bytes", sa.BigInteger(), nullable=True),
        sa.Column("written_bytes", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["executions.execution_id"],
            name=op.f("fk_running_progress_execution_id_executions"),
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_running_progress")),
    )
    op.execute(_STORED_BYTES)
