"""Sealed segments of the audit log, and the indexes of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from alembic import op

from server_kit.audit_migration import add_segments, remove_segments

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0007_audit_segments"
down_revision = "0006_grants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_segments(cast("Operations", op))


def downgrade() -> None:
    remove_segments(cast("Operations", op))
