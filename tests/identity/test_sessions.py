from __future__ import annotations

import pytest
from sqlalchemy import select, update

from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.storage.schema import sessions
from tests.conftest import ManualClock
from tests.identity.directories import SESSION_LIFETIME, Directories


@pytest.fixture
async def ada(directories: Directories) -> PersonRecord:
    return await directories.people.add("ada", "correct horse")


async def test_a_session_is_its_persons_until_it_expires(
    directories: Directories, ada: PersonRecord, clock: ManualClock
) -> None:
    opened = await directories.sessions.open(ada)
    session = await directories.sessions.resolve(opened.token)
    assert session is not None
    assert session.person == ada
    assert session.csrf_token == opened.csrf_token
    clock.advance(SESSION_LIFETIME.total_seconds())
    assert await directories.sessions.resolve(opened.token) is None


async def test_a_closed_session_opens_nothing(directories: Directories, ada: PersonRecord) -> None:
    opened = await directories.sessions.open(ada)
    await directories.sessions.close(opened.token)
    await directories.sessions.close(opened.token)
    assert await directories.sessions.resolve(opened.token) is None


async def test_a_suspended_persons_session_opens_nothing(directories: Directories, ada: PersonRecord) -> None:
    opened = await directories.sessions.open(ada)
    await directories.people.suspend("ada")
    assert await directories.sessions.resolve(opened.token) is None


async def test_a_session_token_is_stored_nowhere(directories: Directories, ada: PersonRecord) -> None:
    opened = await directories.sessions.open(ada)
    rows = await directories.database.read(lambda connection: connection.execute(select(sessions)))
    assert opened.token not in str(rows.all())
    assert opened.token not in repr(opened)


async def test_a_session_made_longer_or_somebody_elses_past_the_server_opens_nothing(
    directories: Directories, ada: PersonRecord, clock: ManualClock
) -> None:
    await directories.people.add("bob", "correct horse")
    opened = await directories.sessions.open(ada)
    await directories.database.write(
        lambda connection: connection.execute(update(sessions).values(person_id="bob"))
    )
    assert await directories.sessions.resolve(opened.token) is None


async def test_an_agents_key_is_no_session(directories: Directories) -> None:
    assert await directories.sessions.resolve(await directories.agents.add("builder")) is None
