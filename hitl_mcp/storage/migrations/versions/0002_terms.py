"""Terms of a request: stages, rulings, revisions and conditions."""

# ruff: noqa: S608 - the only names put into these statements are the constants below.

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0002_terms"
down_revision = "0001_initial"
branch_labels = None
depends_on = None

_OLD_CHECK = ("required_approvals >= 1", "ck_requests_required_approvals_positive")
_NEW_CHECK = ("required_approvals >= 0", "ck_requests_required_approvals_not_negative")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_requests(check=_NEW_CHECK, added=_request_columns())
        _index_revoked()
    else:
        for column in _request_columns():
            op.add_column("requests", column)
        op.create_foreign_key(
            "fk_requests_proposed_digest", "requests", "actions", ["proposed_digest"], ["digest"]
        )
        op.drop_constraint(_OLD_CHECK[1], "requests", type_="check")
        op.create_check_constraint(op.f(_NEW_CHECK[1]), "requests", _NEW_CHECK[0])
        _index_revoked()
    op.create_table(
        "revisions",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("action_digest", sa.Text(), nullable=False),
        sa.Column("display_digest", sa.Text(), nullable=False),
        sa.Column("editor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.request_id"], name=op.f("fk_revisions_request_id")
        ),
        sa.ForeignKeyConstraint(
            ["action_digest"], ["actions.digest"], name=op.f("fk_revisions_action_digest")
        ),
        sa.PrimaryKeyConstraint("request_id", "revision", name=op.f("pk_revisions")),
    )
    for column in _decision_columns():
        op.add_column("decisions", column)
    op.drop_index("uq_decisions_request_person", "decisions")
    op.create_index(
        "uq_decisions_request_revision_person",
        "decisions",
        ["request_id", "revision", "person_key"],
        unique=True,
    )


def downgrade() -> None:
    """Only where no rule decided and nobody edited: else the old schema refuses the rows."""
    op.drop_index("uq_decisions_request_revision_person", "decisions")
    op.create_index("uq_decisions_request_person", "decisions", ["request_id", "person_key"], unique=True)
    for column in reversed(_decision_columns()):
        op.drop_column("decisions", column.name)
    op.drop_table("revisions")
    op.drop_index("ix_requests_revoked", "requests")
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_requests(check=_OLD_CHECK, added=())
    else:
        op.drop_constraint(_NEW_CHECK[1], "requests", type_="check")
        op.create_check_constraint(op.f(_OLD_CHECK[1]), "requests", _OLD_CHECK[0])
        for column in reversed(_request_columns()):
            op.drop_column("requests", column.name)


def _request_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("kind", sa.Text(), server_default="action", nullable=False),
        sa.Column("verdict", sa.Text(), server_default="ask", nullable=False),
        sa.Column("explanation", sa.Text(), server_default="", nullable=False),
        sa.Column("terms", sa.Text(), server_default="{}", nullable=False),
        sa.Column("assessment", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("proposed_digest", sa.Text(), nullable=True),
        sa.Column("seal_format", sa.Integer(), server_default="1", nullable=False),
    ]


def _decision_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stage", sa.Integer(), server_default="0", nullable=False),
        sa.Column("acted_as", sa.Text(), nullable=True),
        sa.Column("reviewed_from", sa.BigInteger(), nullable=True),
        sa.Column("seal_format", sa.Integer(), server_default="1", nullable=False),
    ]


def _index_revoked() -> None:
    only = sa.text("revoked_at IS NOT NULL")
    op.create_index(
        "ix_requests_revoked", "requests", ["revoked_at"], sqlite_where=only, postgresql_where=only
    )


def _rebuild_requests(*, check: tuple[str, str], added: Sequence[sa.Column[object]]) -> None:
    """SQLite changes a CHECK only with the whole table.

    The rows are put back under the table's own name, because only then are the foreign keys that point at
    them whole again when the transaction ends.
    """
    first = _first_columns()
    names = ", ".join(column.name for column in first)
    op.execute(f"CREATE TEMPORARY TABLE kept_requests AS SELECT {names} FROM requests")
    op.execute("DELETE FROM requests")
    op.drop_table("requests")
    constraints: list[sa.Constraint] = [
        sa.CheckConstraint(check[0], name=op.f(check[1])),
        sa.CheckConstraint(
            "status IN ('PENDING', 'APPROVED', 'DENIED', 'TIMEOUT', 'CANCELLED')",
            name=op.f("ck_requests_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["action_digest"], ["actions.digest"], name=op.f("fk_requests_action_digest")
        ),
    ]
    if added:
        constraints.append(
            sa.ForeignKeyConstraint(
                ["proposed_digest"], ["actions.digest"], name=op.f("fk_requests_proposed_digest")
            )
        )
    op.create_table(
        "requests",
        *first,
        *added,
        *constraints,
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_requests")),
    )
    for name, columns, unique in _REQUEST_INDEXES:
        op.create_index(name, "requests", columns, unique=unique)
    op.execute(f"INSERT INTO requests ({names}) SELECT {names} FROM kept_requests")
    op.execute("DROP TABLE kept_requests")


_REQUEST_INDEXES = (
    ("ix_requests_agent_created", ["agent", "created_at", "request_id"], False),
    ("ix_requests_agent_status_created", ["agent", "status", "created_at", "request_id"], False),
    ("ix_requests_created", ["created_at", "request_id"], False),
    ("ix_requests_status_created", ["status", "created_at", "request_id"], False),
    ("uq_requests_attachable", ["agent", "attachable_digest"], True),
)


def _first_columns() -> list[sa.Column[object]]:
    """The columns of revision 0001."""
    return [
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("action_type", sa.Text(), nullable=False),
        sa.Column("action_digest", sa.Text(), nullable=False),
        sa.Column("display_digest", sa.Text(), nullable=False),
        sa.Column("justification", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("risk_level", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("required_approvals", sa.Integer(), nullable=False),
        sa.Column("required_assurance", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_reason", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.Column("attachable_digest", sa.Text(), nullable=True),
    ]
