"""Drills: requests that the server files itself, and that the database refuses to call approved."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_canaries"
down_revision = "0008_shared_cards"
branch_labels = None
depends_on = None

_CHECK = "ck_requests_canary_never_approved"
_RULE = "kind <> 'canary' OR (status <> 'APPROVED' AND token_id IS NULL)"
_BEFORE = "status IN ('PENDING', 'APPROVED', 'DENIED', 'TIMEOUT', 'CANCELLED', 'ANSWERED'))"
_AFTER = f"{_BEFORE}, \n\tCONSTRAINT {_CHECK} CHECK ({_RULE})"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_again(_BEFORE, _AFTER)
    else:
        op.create_check_constraint(op.f(_CHECK), "requests", _RULE)
    op.create_table(
        "canaries",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("drill", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("filed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"], name=op.f("fk_canaries_request_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_canaries")),
    )
    op.create_index("ix_canaries_filed", "canaries", ["filed_at"])
    op.create_table(
        "canary_schedule",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_canary_schedule")),
    )


def downgrade() -> None:
    """Only where there was no drill: an earlier release does not know the kind of such a request."""
    op.drop_table("canary_schedule")
    op.drop_index("ix_canaries_filed", table_name="canaries")
    op.drop_table("canaries")
    if op.get_bind().dialect.name == "sqlite":
        _make_again(_AFTER, _BEFORE)
    else:
        op.drop_constraint(_CHECK, "requests", type_="check")


def _make_again(before: str, after: str) -> None:
    # SQLite changes a CHECK only with the whole table; how the rows are put back is explained in 0002.
    connection = op.get_bind()
    made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'requests'")
    table = str(connection.execute(made).scalar_one())
    if before not in table:
        raise RuntimeError("the table requests has not the constraint on its status that was expected")
    indexed = sa.text(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'requests' AND sql IS NOT NULL"
    )
    indexes = [str(sql) for sql in connection.execute(indexed).scalars()]
    op.execute("CREATE TEMPORARY TABLE kept_requests AS SELECT * FROM requests")
    op.execute("DELETE FROM requests")
    op.drop_table("requests")
    for statement in (table.replace(before, after), *indexes):
        # As they are: a colon in them would be taken for a parameter.
        connection.exec_driver_sql(statement)
    op.execute("INSERT INTO requests SELECT * FROM kept_requests")
    op.execute("DROP TABLE kept_requests")
