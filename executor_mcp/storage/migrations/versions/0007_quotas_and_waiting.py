"""Who approved an execution, what it may take, and executions that wait for a place."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_quotas_and_waiting"
down_revision = "0006_connections"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("wall_limit_seconds", sa.Float(), nullable=True))
    op.add_column("executions", sa.Column("cpu_limit_seconds", sa.Float(), nullable=True))
    op.create_table(
        "execution_approvers",
        sa.Column("execution_id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=512), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["executions.execution_id"],
            name=op.f("fk_execution_approvers_execution_id_executions"),
        ),
        sa.PrimaryKeyConstraint("execution_id", "person", name=op.f("pk_execution_approvers")),
    )
    op.create_index(
        "ix_execution_approvers_person_created_at", "execution_approvers", ["person", "created_at"]
    )
    op.create_table(
        "waiting_executions",
        sa.Column("execution_id", sa.String(length=64), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("action", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("enqueued_at", sa.BigInteger(), nullable=False),
        sa.Column("lapses_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["executions.execution_id"],
            name=op.f("fk_waiting_executions_execution_id_executions"),
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_waiting_executions")),
    )
    op.create_index(
        "ix_waiting_executions_claimed_by_enqueued_at", "waiting_executions", ["claimed_by", "enqueued_at"]
    )


def downgrade() -> None:
    op.drop_table("waiting_executions")
    op.drop_table("execution_approvers")
    op.drop_column("executions", "cpu_limit_seconds")
    op.drop_column("executions", "wall_limit_seconds")
