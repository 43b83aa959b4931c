"""Grants, their uses, and the measure of attention."""

from __future__ import annotations

revision = "0006_grants"
down_revision = "0005_questions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
