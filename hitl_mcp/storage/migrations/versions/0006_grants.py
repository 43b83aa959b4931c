"""Grants and their uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_grants"
down_revision = "0005_questions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "grants",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("wording", sa.Text(), nullable=False),
        sa.Column("wording_digest", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("terms_digest", sa.Text(), nullable=False),
        sa.Column("max_risk", sa.Text(), nullable=False),
        sa.Column("allowed", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("assurance", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.CheckConstraint("used >= 0 AND used <= allowed", name=op.f("ck_grants_used_within_allowed")),
        sa.ForeignKeyConstraint(["person"], ["people.person_id"], name=op.f("fk_grants_person")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"], name=op.f("fk_grants_request_id")),
        sa.PrimaryKeyConstraint("agent", "grant_id", name=op.f("pk_grants")),
    )
    op.create_index("uq_grants_id", "grants", ["grant_id"], unique=True)
    op.create_index("ix_grants_person", "grants", ["person", "expires_at"], unique=False)
    op.create_table(
        "grant_uses",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action_digest", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.request_id"], name=op.f("fk_grant_uses_request_id")
        ),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.grant_id"], name=op.f("fk_grant_uses_grant_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_grant_uses")),
    )
    op.create_index("uq_grant_uses_number", "grant_uses", ["grant_id", "number"], unique=True)


def downgrade() -> None:
    """Requests that a grant approved prove themselves no more: their agents have to ask again."""
    op.drop_table("grant_uses")
    op.drop_table("grants")
