"""Questions and answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_questions"
down_revision = "0004_timers"
branch_labels = None
depends_on = None

_CHECK = "ck_requests_status_known"
_OLD = "status IN ('PENDING', 'APPROVED', 'DENIED', 'TIMEOUT', 'CANCELLED')"
_NEW = "status IN ('PENDING', 'APPROVED', 'DENIED', 'TIMEOUT', 'CANCELLED', 'ANSWERED')"


def upgrade() -> None:
    _change_check(_OLD, _NEW)
    op.create_table(
        "answers",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("action_digest", sa.Text(), nullable=False),
        sa.Column("display_digest", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("assurance", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("acted_as", sa.Text(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"], name=op.f("fk_answers_request_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_answers")),
    )
    op.create_table(
        "questions",
        sa.Column("question_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.request_id"], name=op.f("fk_questions_request_id")
        ),
        sa.PrimaryKeyConstraint("question_id", name=op.f("pk_questions")),
    )
    op.create_index("uq_questions_request_number", "questions", ["request_id", "number"], unique=True)


def downgrade() -> None:
    """Only where no question was answered: else the old schema refuses the rows."""
    op.drop_index("uq_questions_request_number", table_name="questions")
    op.drop_table("questions")
    op.drop_table("answers")
    _change_check(_NEW, _OLD)


def _change_check(before: str, after: str) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(_CHECK, "requests", type_="check")
        op.create_check_constraint(op.f(_CHECK), "requests", after)
        return
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
