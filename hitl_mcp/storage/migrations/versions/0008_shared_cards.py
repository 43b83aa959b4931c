"""Cards that carry several requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime

revision = "0008_shared_cards"
down_revision = "0007_audit_segments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cards", sa.Column("opened_at", UtcTime(), nullable=True))
    op.add_column("cards", sa.Column("kin", sa.Text(), nullable=True))
    op.add_column("cards", sa.Column("carried_by", sa.Text(), nullable=True))
    op.add_column("cards", sa.Column("carries", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("cards", sa.Column("showing", sa.Text(), nullable=True))
    op.create_index("ix_cards_opened", "cards", ["channel", "opened_at"], unique=False)
    op.create_index("ix_cards_carried", "cards", ["carried_by", "channel"], unique=False)
    op.create_table(
        "card_faces",
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("items", JsonText(), nullable=False),
        sa.Column("offers_approve", sa.Boolean(), nullable=False),
        sa.Column("grew_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"], name="fk_card_faces_request_id"),
        sa.PrimaryKeyConstraint("nonce", name="pk_card_faces"),
    )
    op.create_index("ix_card_faces_request", "card_faces", ["request_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_card_faces_request", table_name="card_faces")
    op.drop_table("card_faces")
    # An earlier release shows each request on a card of its own.
    op.execute("DELETE FROM cards WHERE carried_by IS NOT NULL")
    op.drop_index("ix_cards_carried", table_name="cards")
    op.drop_index("ix_cards_opened", table_name="cards")
    for name in ("showing", "carries", "carried_by", "kin", "opened_at"):
        op.drop_column("cards", name)
