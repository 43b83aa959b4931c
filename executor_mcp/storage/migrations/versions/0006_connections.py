"""The connections that a program asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_connections"
down_revision = "0005_running_state"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("execution_outcomes", sa.Column("connections", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("execution_outcomes", "connections")
