"""Escalations, reminders and quiet hours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_timers"
down_revision = "0003_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deadlines", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("cards", sa.Column("call", sa.Integer(), nullable=True))
    op.create_index("ix_decisions_decided", "decisions", ["decided_at"], unique=False)
    op.drop_index("ix_outbox_open", table_name="outbox")
    op.create_index(
        "ix_outbox_open", "outbox", ["channel", "delivered_at", "dead_at", "due_at"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_decisions_decided", table_name="decisions")
    op.drop_index("ix_outbox_open", table_name="outbox")
    op.create_index("ix_outbox_open", "outbox", ["delivered_at", "dead_at", "due_at"], unique=False)
    op.drop_column("cards", "call")
    # What an earlier release does not know it could not work.
    op.execute("DELETE FROM deadlines WHERE kind <> 'expiry'")
    op.drop_column("deadlines", "attempts")
