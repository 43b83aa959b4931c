"""The last checkpoint of a running program, which its process's death does not reach."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_running_checkpoint"
down_revision = "0007_quotas_and_waiting"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("running_progress", sa.Column("checkpoint", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("running_progress", "checkpoint")
