"""Whoever owns the database file: every column of every row is tried with every other value it has."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from hitl_contract.action import parse_action
from hitl_mcp.application import Application
from hitl_mcp.approvals.models import Assurance, DecisionInput, Submission, Verdict
from hitl_mcp.errors import HitlError
from hitl_mcp.storage.schema import metadata
from hitl_mcp.wiring import build_application
from server_kit.errors import AuditUnavailable, ServerError
from tests.tools.served import action, make_home, settings_for

pytestmark = pytest.mark.timeout(120)


@dataclass
class Stolen:
    """A server, its database file, and requests that nobody approved: one pending, one denied."""

    application: Application
    file: Path
    unapproved: tuple[str, ...]
    earlier: Path

    async def tokens(self) -> list[str]:
        """Every token that the agent can get for what nobody approved."""
        found: list[str] = []
        for request_id in self.unapproved:
            with contextlib.suppress(HitlError, ServerError, ValueError, LookupError):
                found.append((await self.application.service.collect_token("builder", request_id)).token)
        return found

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=20, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        return connection


@pytest_asyncio.fixture
async def stolen(tmp_path: Path) -> AsyncIterator[Stolen]:
    # Made here and not shared: this home is to be harmed.
    home = tmp_path / "home"
    settings = settings_for(home)
    await make_home(settings)
    # What was done to the log makes the server refuse to sign its end.
    with contextlib.suppress(AuditUnavailable):
        async with build_application(settings) as application:
            yield await _house_of(application, tmp_path)


async def _house_of(application: Application, place: Path) -> Stolen:
    file = application.settings.home / "hitl.db"

    async def ask(code: str) -> str:
        submission = Submission(action=parse_action(action(code)), justification="to know")
        return (await application.service.submit("builder", submission)).request.request_id

    async def decide(request_id: str, verdict: Verdict) -> None:
        record = await application.service.get(request_id)
        await application.service.decide(
            DecisionInput(
                request_id=request_id,
                person="ada",
                verdict=verdict,
                reason=None,
                channel="web",
                assurance=Assurance.SESSION,
                action_digest=record.request.action_digest,
                evidence={},
            )
        )

    approved, pending, denied = [await ask(f"print({number})") for number in range(3)]
    with sqlite3.connect(file) as source, sqlite3.connect(place / "earlier.db") as target:
        source.backup(target)
    await decide(approved, Verdict.APPROVE)
    await decide(denied, Verdict.DENY)
    await application.service.collect_token("builder", approved)
    await application.audit.checkpoint()
    return Stolen(application, file, (pending, denied), place / "earlier.db")


def edits(connection: sqlite3.Connection) -> Iterator[tuple[str, str, object]]:
    """Every table and column with every value that some row of that column has, and a few more."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            rows = connection.execute(
                f'SELECT DISTINCT "{column.name}" FROM "{table.name}" LIMIT 4'
            ).fetchall()
            for value in dict.fromkeys([*(row[0] for row in rows), None, "APPROVED", "", 0]):
                yield table.name, column.name, value


async def test_no_edit_of_any_column_of_any_table_gives_a_token(stolen: Stolen) -> None:
    connection = stolen.connect()
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{trigger}"')
    tried = 0
    for table, column, value in list(edits(connection)):
        rows = connection.execute(f'SELECT rowid, "{column}" FROM "{table}"').fetchall()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f'UPDATE OR REPLACE "{table}" SET "{column}" = ?', (value,))
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            continue
        assert await stolen.tokens() == [], (table, column, value)
        tried += 1
        if connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] != len(rows):
            continue
        with contextlib.suppress(sqlite3.Error):
            for rowid, before in rows:
                connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (before, rowid))
    assert tried > 200
    connection.close()


async def test_no_table_of_an_earlier_day_gives_a_token(stolen: Stolen) -> None:
    connection = stolen.connect()
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{trigger}"')
    connection.execute("ATTACH ? AS earlier", (str(stolen.earlier),))
    for table in metadata.sorted_tables:
        connection.execute(f'DELETE FROM main."{table.name}"')
        connection.execute(f'INSERT INTO main."{table.name}" SELECT * FROM earlier."{table.name}"')
        assert await stolen.tokens() == [], table.name
    connection.close()


async def test_an_earlier_database_as_a_whole_gives_no_token_and_takes_no_entry(stolen: Stolen) -> None:
    settings = stolen.application.settings
    with sqlite3.connect(stolen.earlier) as source, stolen.connect() as target:
        source.backup(target)
    async with contextlib.AsyncExitStack() as stack:
        # Closing it would sign the log's end, which is refused as well.
        stack.enter_context(contextlib.suppress(AuditUnavailable))
        application = await stack.enter_async_context(build_application(settings))
        with pytest.raises(AuditUnavailable, match="rolled back"):
            await application.audit.begin()
        assert not (await application.audit.verify(application.audit.public_keys)).intact
        again = Stolen(application, stolen.file, stolen.unapproved, stolen.earlier)
        assert await again.tokens() == []
        assert settings.witness_file is not None
        settings.witness_file.unlink()
        second = await stack.enter_async_context(build_application(settings))
        # Without the witness there is nothing to compare with, and that alone is a reason to stop.
        if await second.audit.checkpoints():
            with pytest.raises(AuditUnavailable, match="is gone"):
                await second.audit.begin()
