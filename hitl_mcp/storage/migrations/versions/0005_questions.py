"""Questions and answers."""

from __future__ import annotations

revision = "0005_questions"
down_revision = "0004_timers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
