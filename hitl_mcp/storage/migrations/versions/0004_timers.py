"""Escalations, reminders and quiet hours."""

from __future__ import annotations

revision = "0004_timers"
down_revision = "0003_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
