"""Groups, delegations, absences and what rules know of agents."""

from __future__ import annotations

revision = "0003_people"
down_revision = "0002_terms"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
