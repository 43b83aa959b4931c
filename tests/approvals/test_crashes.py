"""kill -9 at named points of submit, decide and collect: nothing acknowledged is lost or half done."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.keys import PublicKeys
from hitl_mcp.approvals.models import RequestStatus
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.approvals.crashing_server import serve_until_killed
from tests.approvals.world import World, create_schema, submission, verdict

POINTS = {
    "submit": ["begun", "state written", "audited", "owed to people", "before commit", "after commit"],
    "decide": [
        "begun", "decision written", "state written", "audited", "owed to people",
        "before commit", "after commit",
    ],
    "collect": ["begun", "state written", "audited", "before commit", "after commit", "signed"],
}  # fmt: skip
EVERY_POINT = [(act, point) for act, points in POINTS.items() for point in points]
DURABLE = {"after commit", "signed"}


def run_until_killed(url: str, home: Path, act: str, point: str) -> list[list[str]]:
    """What the server acknowledged before it was killed."""
    # Forked from a process that has loaded the server: loading takes longer than all the rest.
    servers = multiprocessing.get_context("forkserver")
    servers.set_forkserver_preload([serve_until_killed.__module__])
    answers, answering = servers.Pipe(duplex=False)
    process = servers.Process(target=serve_until_killed, args=(url, home, act, point, answering))
    process.start()
    answering.close()
    process.join(50)
    assert process.exitcode == -signal.SIGKILL
    acknowledged: list[list[str]] = []
    with contextlib.suppress(EOFError):
        while answers.poll():
            acknowledged.append(answers.recv())
    return acknowledged


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async def operation(connection: AsyncConnection) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await connection.execute(text(query))]

    return await database.read(operation)


async def check_nothing_is_half_done(world: World) -> None:
    database = world.database
    requests = await rows(database, "SELECT request_id, status, token_id FROM requests")
    for request_id, status, token_id in requests:
        events = await world.events_about(str(request_id))
        notified = await world.notifications_about(str(request_id))
        decided = await rows(database, f"SELECT 1 FROM decisions WHERE request_id = '{request_id}'")
        waiting = await rows(database, f"SELECT 1 FROM deadlines WHERE request_id = '{request_id}'")
        ended = status == RequestStatus.APPROVED
        assert events == ["request.created", *["request.decided"] * ended, *["token.minted"] * bool(token_id)]
        assert notified == ["created", *["ended"] * ended]
        assert len(decided) == ended
        assert len(waiting) == (not ended)
    known = {str(request_id) for request_id, _, _ in requests}
    assert {str(each) for (each,) in await rows(database, "SELECT subject FROM audit_entries")} == known
    keys = PublicKeys([world.keys.audit_key.private.public_key()])
    assert (await world.audit_log.verify(keys)).intact


@pytest.mark.parametrize(("act", "point"), EVERY_POINT, ids=lambda each: each.replace(" ", "_"))
async def test_after_a_kill_everything_acknowledged_is_there_and_the_work_goes_on(
    database_url: str, tmp_path: Path, act: str, point: str
) -> None:
    database = await open_database(database_url)
    await create_schema(database)
    world = World(database, SystemClock(), tmp_path)
    acknowledged = await asyncio.to_thread(run_until_killed, database_url, tmp_path, act, point)

    await check_nothing_is_half_done(world)
    tokens: dict[str, str] = {}
    for verb, request_id, *rest in acknowledged:
        request = (await world.service.get(request_id)).request
        assert request.status is RequestStatus.APPROVED or verb == "submitted"
        if rest:
            tokens[request_id] = rest[0]
            assert request.token_id == rest[0]

    done = "token.minted" if act == "collect" else "request.decided" if act == "decide" else "request.created"
    happened = len(await rows(database, f"SELECT 1 FROM audit_entries WHERE event = '{done}'"))
    assert happened == (3 if point in DURABLE else 2)

    # What the agent does when no answer came: it asks again, and meets what is there.
    for number in range(3):
        record = await world.service.submit(
            "agent-1", submission(f"print({number}, {point!r})", key=f"{act} {number}")
        )
        if record.request.status is RequestStatus.PENDING:
            record = await world.service.decide(verdict(record, "alice"))
        issued = await world.service.collect_token("agent-1", record.request.request_id)
        assert tokens.get(record.request.request_id, issued.token_id) == issued.token_id
    assert await world.count("requests") == 3
    await check_nothing_is_half_done(world)
    await database.close()
