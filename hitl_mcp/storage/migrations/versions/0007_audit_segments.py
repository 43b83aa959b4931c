"""Sealed segments of the audit log."""

from __future__ import annotations

revision = "0007_audit_segments"
down_revision = "0006_grants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
