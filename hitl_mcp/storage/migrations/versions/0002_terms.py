"""Terms of a request: stages, rulings, revisions and conditions."""

from __future__ import annotations

revision = "0002_terms"
down_revision = "0001_initial"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
