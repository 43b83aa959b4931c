"""The packages that an execution was given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_packages"
down_revision = "0003_policy_warnings"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("packages", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("executions", "packages")
