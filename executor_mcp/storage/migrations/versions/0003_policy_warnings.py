"""What the executor's policy minded about an execution and let pass."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_policy_warnings"
down_revision = "0002_audit_segments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("warnings", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("executions", "warnings")
