"""Groups, delegations, absences, what rules know of agents, and the register of changes to all of these.

Rows of the release before stay as they are and go on holding: the columns added here are left out of a row's
seal while they are NULL. The register is empty after this; the server's first access to it registers every
row that its seal finds intact, because only the server has the key.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_people"
down_revision = "0002_terms"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agents", sa.Column("facts", sa.Text(), nullable=True))
    op.add_column("sessions", sa.Column("person_epoch", sa.BigInteger(), nullable=True))
    op.create_table(
        "people_groups",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_people_groups")),
    )
    op.create_table(
        "group_members",
        sa.Column("group_name", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_name"], ["people_groups.name"], name=op.f("fk_group_members_group_name")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.person_id"], name=op.f("fk_group_members_person_id")),
        sa.PrimaryKeyConstraint("group_name", "person_id", name=op.f("pk_group_members")),
    )
    op.create_index("ix_group_members_person", "group_members", ["person_id"], unique=False)
    op.create_table(
        "delegations",
        sa.Column("delegation_id", sa.Text(), nullable=False),
        sa.Column("delegator", sa.Text(), nullable=False),
        sa.Column("delegate", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("absence_id", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["delegator"], ["people.person_id"], name=op.f("fk_delegations_delegator")),
        sa.ForeignKeyConstraint(["delegate"], ["people.person_id"], name=op.f("fk_delegations_delegate")),
        sa.PrimaryKeyConstraint("delegation_id", name=op.f("pk_delegations")),
    )
    op.create_index("ix_delegations_delegate", "delegations", ["delegate", "until"], unique=False)
    op.create_index("ix_delegations_delegator", "delegations", ["delegator", "until"], unique=False)
    op.create_table(
        "absences",
        sa.Column("absence_id", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("substitute", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.person_id"], name=op.f("fk_absences_person_id")),
        sa.PrimaryKeyConstraint("absence_id", name=op.f("pk_absences")),
    )
    op.create_index("ix_absences_person", "absences", ["person_id", "until"], unique=False)
    op.create_table(
        "identity_changes",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("row_seal", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_identity_changes")),
    )


def downgrade() -> None:
    """Agents with facts and sessions opened since have to be made anew: their seals cover what goes here."""
    for table in ("identity_changes", "absences", "delegations", "group_members", "people_groups"):
        op.drop_table(table)
    op.drop_column("sessions", "person_epoch")
    op.drop_column("agents", "facts")
