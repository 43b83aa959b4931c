"""An attacker who owns the SQLite file puts back what the server sealed earlier. None of it counts.

Each attack copies rows while they are good, lets the server take the power away, and writes the copies back
past the server, with every trigger and constraint out of the way.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.errors import IdentityRolledBack
from hitl_mcp.identity.agent_facts import StatedFacts
from hitl_mcp.identity.delegations import NewDelegation
from server_kit.database.opening import open_database
from tests.conftest import ManualClock
from tests.identity.directories import Directories, ReadableTrail, open_directories


class Attacker:
    """Writes the file with a library of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, table: str) -> list[dict[str, Any]]:
        with sqlite3.connect(self.path) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]

    def put_back(self, table: str, rows: list[dict[str, Any]]) -> None:
        with sqlite3.connect(self.path) as connection:
            connection.execute("PRAGMA foreign_keys=OFF")
            connection.execute(f"DELETE FROM {table}")
            for row in rows:
                marks = ", ".join("?" for _ in row)
                names = ", ".join(f'"{name}"' for name in row)
                connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))

    def run(self, *statements: str) -> None:
        with sqlite3.connect(self.path) as connection:
            for statement in statements:
                connection.execute(statement)


class Scene:
    """A server on a file of the attacker's, with a second process to look at it afresh."""

    def __init__(self, directory: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.trail = ReadableTrail()
        self.anchor = directory / "home" / "identity-register.json"
        self.anchor.parent.mkdir()
        self.attacker = Attacker(directory / "hitl.db")
        self._url = f"sqlite+aiosqlite:///{self.attacker.path}"
        self._open: list[Directories] = []

    async def process(self) -> Directories:
        database = await open_database(self._url)
        made = await open_directories(database, self.clock, anchor=self.anchor, trail=self.trail)
        self._open.append(made)
        return made

    async def close(self) -> None:
        for each in self._open:
            await each.database.close()
        self._open.clear()

    async def capacity(self, directories: Directories, person: str) -> Capacity | None:
        return await directories.people.capacity(
            person,
            at=self.clock.now(),
            agent="builder",
            action_type="generic",
            risk=RiskLevel.LOW,
            request_id="req_1",
        )

    def refused(self) -> list[object]:
        return [
            (details["kind"], details["found"])
            for (event, _, _), details in zip(self.trail.entries, self.trail.details, strict=True)
            if event == "identity.row_refused"
        ]


@pytest_asyncio.fixture
async def scene(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Scene]:
    made = Scene(tmp_path, clock)
    yield made
    await made.close()


Processes = Callable[[Scene, Directories], Any]


async def same_process(_: Scene, running: Directories) -> Directories:
    return running


async def fresh_process(scene: Scene, _: Directories) -> Directories:
    return await scene.process()


@pytest.fixture(params=[same_process, fresh_process], ids=lambda each: each.__name__)
def looks(request: pytest.FixtureRequest) -> Processes:
    return request.param


async def test_a_suspended_person_put_back_decides_nothing(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    mallory = await server.people.add("mallory", None)
    session = await server.sessions.open(mallory)
    await server.people.link("slack", "U1", "mallory")
    good = scene.attacker.rows("people")
    await server.people.suspend("mallory")
    scene.attacker.put_back("people", good)
    seen = await looks(scene, server)
    assert await scene.capacity(seen, "mallory") is None
    assert await seen.people.eligible("mallory") is None
    assert await seen.people.resolve("slack", "U1") is None
    assert await seen.sessions.resolve(session.token) is None
    assert await seen.people.members("approver") == ()
    assert scene.refused()[0] == ("people", "set back")


async def test_a_role_that_was_taken_away_does_not_come_back(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    await server.people.add("mallory", None, ["approver", "security"])
    good = scene.attacker.rows("people")
    await server.people.set_roles("mallory", ["auditor"])
    scene.attacker.put_back("people", good)
    assert await scene.capacity(await looks(scene, server), "mallory") is None


async def test_an_unlinked_account_put_back_is_nobodys(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    await server.people.add("ada", None)
    await server.people.link("slack", "U666", "ada")
    good = scene.attacker.rows("channel_identities")
    await server.people.unlink("slack", "U666")
    scene.attacker.put_back("channel_identities", good)
    assert await (await looks(scene, server)).people.resolve("slack", "U666") is None
    assert scene.refused() == [("channel_identities", "removed")]


async def test_a_signed_out_session_put_back_opens_nothing(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    ada = await server.people.add("ada", None)
    session = await server.sessions.open(ada)
    good = scene.attacker.rows("sessions")
    await server.sessions.close(session.token)
    scene.attacker.put_back("sessions", good)
    assert await (await looks(scene, server)).sessions.resolve(session.token) is None


async def test_a_session_from_before_a_suspension_stays_ended_after_it(
    scene: Scene, looks: Processes
) -> None:
    server = await scene.process()
    ada = await server.people.add("ada", None)
    session = await server.sessions.open(ada)
    await server.people.suspend("ada")
    await server.people.reinstate("ada")
    seen = await looks(scene, server)
    assert await seen.sessions.resolve(session.token) is None
    again = await seen.sessions.open(ada)
    assert await seen.sessions.resolve(again.token) is not None


async def test_a_revoked_agent_put_back_is_no_agent(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    key = await server.agents.add("builder", StatedFacts(trusted=True))
    good = scene.attacker.rows("agents")
    await server.agents.revoke("builder")
    scene.attacker.put_back("agents", good)
    seen = await looks(scene, server)
    assert await seen.agents.authenticate(key) is None
    assert not await seen.agents.is_active("builder")
    assert not (await seen.agents.facts("builder")).trusted


async def test_an_agent_that_is_no_longer_trusted_does_not_become_so_again(
    scene: Scene, looks: Processes
) -> None:
    server = await scene.process()
    await server.agents.add("builder", StatedFacts(trusted=True))
    good = scene.attacker.rows("agents")
    await server.agents.set_facts("builder", StatedFacts())
    scene.attacker.put_back("agents", good)
    assert not (await (await looks(scene, server)).agents.facts("builder")).trusted


async def test_a_revoked_delegation_put_back_lends_nothing(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    await server.people.add("ada", None)
    await server.people.add("mallory", None, [])
    made = await server.delegations.add(
        NewDelegation("ada", "mallory", scene.clock.now() + timedelta(days=1))
    )
    assert await scene.capacity(server, "mallory") is not None
    good = scene.attacker.rows("delegations")
    await server.delegations.revoke(made.delegation_id)
    scene.attacker.put_back("delegations", good)
    assert await scene.capacity(await looks(scene, server), "mallory") is None


async def test_a_membership_that_ended_does_not_come_back(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    await server.people.add("mallory", None)
    await server.groups.add("security", ("mallory",))
    good = scene.attacker.rows("group_members")
    await server.groups.leave("security", "mallory")
    scene.attacker.put_back("group_members", good)
    found = await scene.capacity(await looks(scene, server), "mallory")
    assert found is not None
    assert found.groups == {"approver"}


async def test_a_deleted_person_is_absent_and_it_is_recorded(scene: Scene, looks: Processes) -> None:
    server = await scene.process()
    await server.people.add("ada", None)
    scene.attacker.put_back("people", [])
    assert await scene.capacity(await looks(scene, server), "ada") is None
    assert scene.refused() == [("people", "missing")]


async def suspended_with_register(scene: Scene) -> tuple[Directories, Callable[[], None]]:
    """A server that suspended mallory, and how to set back the person together with the register."""
    server = await scene.process()
    await server.people.add("mallory", None)
    tables = {table: scene.attacker.rows(table) for table in ("people", "identity_changes")}
    await server.people.suspend("mallory")

    def set_back() -> None:
        for table, rows in tables.items():
            scene.attacker.put_back(table, rows)

    return server, set_back


async def test_a_register_that_was_set_back_with_the_person_stops_everything(
    scene: Scene, looks: Processes
) -> None:
    server, set_back = await suspended_with_register(scene)
    set_back()
    with pytest.raises(IdentityRolledBack, match="rolled back"):
        await scene.capacity(await looks(scene, server), "mallory")


async def test_a_register_that_was_emptied_stops_everything(scene: Scene, looks: Processes) -> None:
    server, _ = await suspended_with_register(scene)
    scene.attacker.put_back("identity_changes", [])
    with pytest.raises(IdentityRolledBack):
        await scene.capacity(await looks(scene, server), "mallory")


async def test_a_register_that_was_emptied_is_noticed_without_the_anchor_by_the_audit_log(
    scene: Scene,
) -> None:
    await suspended_with_register(scene)
    scene.attacker.put_back("identity_changes", [])
    scene.anchor.unlink()
    with pytest.raises(IdentityRolledBack, match="audit log"):
        await scene.capacity(await scene.process(), "mallory")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM identity_changes WHERE number = 2",
        "UPDATE identity_changes SET row_key = '[\"eve\"]' WHERE number = 3",
        "UPDATE identity_changes SET row_seal = (SELECT row_seal FROM identity_changes WHERE number = 2) "
        "WHERE number = 3",
        "UPDATE identity_changes SET link = (SELECT link FROM identity_changes WHERE number = 2)",
        "INSERT INTO identity_changes SELECT number + 10, kind, row_key, row_seal, expires_at, at, link "
        "FROM identity_changes WHERE number = 2",
        "INSERT INTO identity_changes SELECT (SELECT max(number) + 1 FROM identity_changes), kind, row_key, "
        "row_seal, expires_at, at, link FROM identity_changes WHERE number = 2",
    ],
)
async def test_a_register_that_was_edited_stops_everything(scene: Scene, statement: str) -> None:
    await suspended_with_register(scene)
    scene.attacker.run(statement)
    scene.anchor.unlink()
    with pytest.raises(IdentityRolledBack):
        await scene.capacity(await scene.process(), "mallory")


async def test_a_whole_file_put_back_while_nothing_ran_stops_everything(scene: Scene) -> None:
    server = await scene.process()
    await server.people.add("mallory", None)
    await scene.close()
    copy = scene.attacker.path.with_suffix(".copy")
    shutil.copy(scene.attacker.path, copy)
    await (await scene.process()).people.suspend("mallory")
    await scene.close()
    for leftover in scene.attacker.path.parent.glob("hitl.db-*"):
        leftover.unlink()
    shutil.copy(copy, scene.attacker.path)
    with pytest.raises(IdentityRolledBack, match=r"identity-register\.json"):
        await scene.capacity(await scene.process(), "mallory")


async def test_rows_of_the_release_before_are_taken_over_once(scene: Scene) -> None:
    server = await scene.process()
    await server.people.add("ada", None)
    key = await server.agents.add("builder")
    await scene.close()
    # The release before had no register: its rows are sealed, and that is all.
    scene.attacker.put_back("identity_changes", [])
    scene.anchor.unlink()
    scene.trail.entries.clear()
    scene.trail.details.clear()
    upgraded = await scene.process()
    assert await scene.capacity(upgraded, "ada") is not None
    assert await upgraded.agents.authenticate(key) == "builder"
    assert [entry[0] for entry in scene.trail.entries] == ["identity.register_opened"]


async def test_a_change_that_failed_leaves_no_trace_in_the_register(scene: Scene) -> None:
    server = await scene.process()
    await server.people.add("ada", None)
    scene.trail.fails = True
    with pytest.raises(RuntimeError):
        await server.people.suspend("ada")
    scene.trail.fails = False
    assert await scene.capacity(server, "ada") is not None
    await server.people.suspend("ada")
    assert await scene.capacity(await scene.process(), "ada") is None


async def test_a_change_by_one_process_is_seen_by_the_other_at_once(scene: Scene) -> None:
    one, other = await scene.process(), await scene.process()
    await one.people.add("ada", None)
    assert await scene.capacity(other, "ada") is not None
    await other.people.suspend("ada")
    assert await scene.capacity(one, "ada") is None


async def test_what_a_change_was_is_named_in_its_audit_entry(scene: Scene) -> None:
    server = await scene.process()
    await server.people.add("ada", None)
    (row,) = scene.attacker.rows("people")
    last = scene.attacker.rows("identity_changes")[-1]
    assert scene.trail.entries[-1] == ("person.added", "operator", "ada")
    assert scene.trail.details[-1]["changes"] == [
        {
            "number": last["number"],
            "kind": "people",
            "key": '["ada"]',
            "seal": row["seal"],
            "link": last["link"],
        }
    ]
