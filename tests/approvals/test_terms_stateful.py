"""Any sequence of acts on real stores, by two servers in turn, does what the plain model says."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hitl_mcp.approvals.capacity import ActingFor
from hitl_mcp.approvals.errors import ApprovalError
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import RequestRecord, Verdict
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.approvals.naive import Case, Member
from tests.approvals.rules import GroupedPeople, RuleByWord, edit
from tests.approvals.test_every_order import SCENES, SPELLED, WORDINGS, Scene, decided, terms_of
from tests.approvals.world import World, create_schema, submission, verdict
from tests.conftest import ManualClock

T = TypeVar("T")

NAMES = ["alice", "bob", "carol", "manager", "mallory"]
STEPS = [1, 40, 60, 100]


class Walk:
    """One request of a scene, in two servers on two connections to one database, and in the model."""

    def __init__(self, scene: Scene, databases: list[Database], home: Path, clock: ManualClock) -> None:
        self.scene = scene
        self.clock = clock
        self.people = GroupedPeople()
        self.left = False
        self.worlds = [
            World(
                database,
                clock,
                home,
                RuleByWord(terms_of(scene.house)),
                validity_seconds=scene.house.validity,
                groups=self.people,
            )
            for database in databases
        ]
        self.case = Case(scene.house)
        self.start: datetime = clock.now()
        self.request_id = ""
        self.stale = ""

    async def begin(self, code: str) -> None:
        self.gather()
        agent = self.scene.house.requester
        record = await self.worlds[0].service.submit(agent, submission(code, risk=RiskLevel.LOW))
        self.request_id, self.stale = record.request.request_id, record.request.action_digest

    @property
    def now(self) -> int:
        return int((self.clock.now() - self.start).total_seconds())

    def members(self) -> dict[str, Member]:
        if not self.left:
            return self.scene.people
        others = {name: each for name, each in self.scene.people.items() if name != self.scene.leaves}
        back = self.scene.left_with
        return others if back is None else {**others, self.scene.leaves: back}

    def gather(self) -> None:
        members = self.members()
        self.people.groups = {name: set(each.groups) for name, each in members.items()}
        self.people.delegations = {
            name: [ActingFor(face, groups, f"del_{face}") for face, groups in each.stands_for]
            for name, each in members.items()
        }

    async def stored(self, server: int) -> RequestRecord:
        async def load(connection: Any) -> RequestRecord | None:
            return await self.worlds[server].ports.store.load(connection, self.request_id)

        record = await self.worlds[server].database.read(load)
        assert record is not None
        return record

    async def tried(self, act: Awaitable[object]) -> None:
        with suppress(ApprovalError):
            await act

    async def decide(self, server: int, name: str, *, yes: bool, stale: bool) -> None:
        record = await self.stored(server)
        given = Verdict.APPROVE if yes else Verdict.DENY
        digest = self.stale if stale else record.request.action_digest
        act = verdict(record, SPELLED.get(name, name), given, digest=digest)
        gone = digest != record.request.action_digest
        who = self.members().get(name)
        self.case = self.case.decide(name, who, yes=yes, stale=gone, now=self.now)
        await self.tried(self.worlds[server].service.decide(act))

    async def edit(self, server: int, name: str) -> None:
        record = await self.stored(server)
        number = record.request.revision + 1
        if number < len(WORDINGS):
            self.case = self.case.edit(name, self.members().get(name), self.now)
            await self.tried(self.worlds[server].service.edit(edit(record, name, WORDINGS[number])))

    async def cancel(self, server: int) -> None:
        self.case = self.case.cancel(self.now)
        service, agent = self.worlds[server].service, self.scene.house.requester
        await self.tried(service.cancel(self.request_id, agent=agent, person=None, reason=None))

    async def revoke(self, server: int, name: str) -> None:
        if name in self.members():
            self.case = self.case.revoke()
        await self.tried(self.worlds[server].service.revoke(self.request_id, person=name, reason=None))

    async def dispatch(self, server: int, behind: int) -> None:
        self.case = self.case.time_out(self.now - behind)
        now = self.clock.now() - timedelta(seconds=behind)
        await self.worlds[server].service.run_deadlines(now=now)

    async def collect(self, server: int) -> None:
        try:
            service = self.worlds[server].service
            token = await service.collect_token(self.scene.house.requester, self.request_id)
        except ApprovalError:
            assert not self.case.collects(self.now, self.members())
        else:
            assert self.case.collects(self.now, self.members())
            assert token.token_id == self.worlds[0].sealer.token_id(self.request_id)

    def leave_or_return(self) -> None:
        self.left = not self.left
        self.gather()

    async def check(self) -> None:
        records = [await self.stored(server) for server in range(len(self.worlds))]
        for record in records:
            assert record.request.status.value == self.case.status
            assert record.request.revision == self.case.wording
            assert (record.request.revoked_at is not None) == self.case.revoked
            assert decided(record) == {(v.person, v.yes, v.wording, v.stage) for v in self.case.votes}
        kinds = await self.worlds[0].notifications_about(self.request_id)
        assert kinds.count("created") == 1
        assert kinds.count("ended") == (self.case.status != "PENDING")


SERVERS = st.sampled_from([0, 1])


class TermsLifeCycle(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.home = Path(self.directory.name)
        self.databases = [self.run(self.open(create=first)) for first in (True, False)]

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def open(self, *, create: bool) -> Database:
        database = await open_database(f"sqlite+aiosqlite:///{self.home / 'test.db'}")
        if create:
            await create_schema(database)
        return database

    @initialize(name=st.sampled_from(sorted(SCENES)))
    def begin(self, name: str) -> None:
        self.walk = Walk(SCENES[name], self.databases, self.home, ManualClock())
        self.run(self.walk.begin("zero"))

    @rule(server=SERVERS, name=st.sampled_from(NAMES), yes=st.booleans(), stale=st.booleans())
    def decide(self, server: int, name: str, yes: bool, stale: bool) -> None:
        self.run(self.walk.decide(server, name, yes=yes, stale=stale))

    @rule(server=SERVERS, name=st.sampled_from(NAMES))
    def approve(self, server: int, name: str) -> None:
        """Once more, so that quorums are reached often."""
        self.run(self.walk.decide(server, name, yes=True, stale=False))

    @rule(server=SERVERS, name=st.sampled_from(NAMES))
    def edit(self, server: int, name: str) -> None:
        self.run(self.walk.edit(server, name))

    @rule(server=SERVERS)
    def cancel(self, server: int) -> None:
        self.run(self.walk.cancel(server))

    @rule(server=SERVERS, name=st.sampled_from(NAMES))
    def revoke(self, server: int, name: str) -> None:
        self.run(self.walk.revoke(server, name))

    @rule(server=SERVERS, behind=st.sampled_from([0, 1, 60]))
    def dispatch(self, server: int, behind: int) -> None:
        self.run(self.walk.dispatch(server, behind))

    @rule(server=SERVERS)
    def collect(self, server: int) -> None:
        self.run(self.walk.collect(server))

    @rule()
    def leave_or_return(self) -> None:
        self.walk.leave_or_return()

    @rule(seconds=st.sampled_from(STEPS))
    def time_passes(self, seconds: int) -> None:
        self.walk.clock.advance(seconds)

    @invariant()
    def both_servers_hold_what_the_model_says(self) -> None:
        if hasattr(self, "walk"):
            self.run(self.walk.check())

    def teardown(self) -> None:
        for database in self.databases:
            self.run(database.close())
        self.runner.close()
        self.directory.cleanup()


TermsLifeCycle.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTermsLifeCycle = TermsLifeCycle.TestCase


@pytest.mark.parametrize("name", sorted(SCENES))
async def test_random_walks_on_either_database_do_what_the_model_says(
    database: Database, clock: ManualClock, tmp_path: Path, name: str
) -> None:
    await create_schema(database)
    chance = random.Random(name)
    for number in range(2):
        walk = Walk(SCENES[name], [database, database], tmp_path, clock)
        await walk.begin("zero" + " " * number)
        for _ in range(12):
            server, who = chance.choice([0, 1]), chance.choice(NAMES)
            match chance.choice(
                ["decide", "approve", "approve", "edit", "dispatch", "time", "collect", "leave"]
            ):
                case "decide":
                    await walk.decide(server, who, yes=chance.random() < 0.5, stale=chance.random() < 0.2)
                case "approve":
                    await walk.decide(server, who, yes=True, stale=False)
                case "edit":
                    await walk.edit(server, who)
                case "dispatch":
                    await walk.dispatch(server, chance.choice([0, 60]))
                case "time":
                    clock.advance(chance.choice(STEPS))
                case "collect":
                    await walk.collect(server)
                case _:
                    walk.leave_or_return()
            await walk.check()
