"""When drills are filed, by whom, and when not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from hitl_mcp.approvals.models import RequestKind, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.terms import EscalationLevel, GroupQuorum, RuleVerdict, Stage, Terms
from hitl_mcp.attention.canary_store import SqlCanaries
from hitl_mcp.attention.drills import made_up_agent
from hitl_mcp.attention.filing import AT_WORK, WEEK, CanaryFiling
from hitl_mcp.attention.settings import CanarySettings
from hitl_mcp.policies.ruling import Ruling
from server_kit.database.base import Database
from tests.approvals.rules import RuleByWord
from tests.approvals.world import World, create_schema, submission, verdict
from tests.attention.conftest import drilled
from tests.conftest import ManualClock

WEEKLY = 2


@dataclass
class Team:
    """A world with somebody who files drills in it. Several on one database are several processes."""

    world: World
    per_week: int = WEEKLY
    agents: tuple[str, ...] = ()
    names: set[str] = field(default_factory=set[str])
    seed: int = 7

    def __post_init__(self) -> None:
        self.store = SqlCanaries(self.world.database)
        self.filing = CanaryFiling(
            self.world.service,
            self.store,
            members=self._members,
            agents=self._names,
            clock=self.world.clock,
            settings=CanarySettings(per_week=self.per_week, agents=self.agents),
            random=Random(self.seed),
        )

    async def _members(self, group: str) -> set[str]:
        return {"alice", "bob"} if group == "approver" else {"Zoe"} if group == "night" else set()

    async def _names(self) -> set[str]:
        return self.names

    async def somebody_works(self) -> None:
        record = await self.world.service.submit("agent-1", submission(f"print({self.world.clock.now()!r})"))
        await self.world.service.decide(verdict(record, "alice", Verdict.DENY))

    async def until_due(self) -> None:
        if await self.store.next_due() is None:
            assert not await self.filing.work()
        due_at = await self.store.next_due()
        assert due_at is not None
        left = (due_at - self.world.clock.now()).total_seconds()
        if left > 0:
            self.world.clock.advance(left)  # type: ignore[attr-defined]

    async def drills(self) -> list[RequestRecord]:
        page = await self.world.service.list_for_people(status=None, limit=100, cursor=None)
        return [each for each in page.records if each.request.kind is RequestKind.CANARY]


@pytest.fixture
async def team(world: World) -> Team:
    return Team(world)


async def test_a_drill_is_filed_when_its_time_has_come_and_people_are_at_work(team: Team) -> None:
    await team.until_due()
    await team.somebody_works()
    assert await team.filing.work()
    (drill,) = await team.drills()
    assert drill.request.status is RequestStatus.PENDING
    assert not await team.filing.work()
    due_at = await team.store.next_due()
    assert due_at is not None
    assert WEEK / WEEKLY / 2 <= due_at - team.world.clock.now() <= WEEK / WEEKLY * 1.5


async def test_nobody_is_called_to_work_by_a_drill(team: Team) -> None:
    await team.until_due()
    assert not await team.filing.work()
    await team.until_due()
    await team.somebody_works()
    team.world.clock.advance(AT_WORK.total_seconds() + 1)  # type: ignore[attr-defined]
    assert not await team.filing.work()
    assert await team.drills() == []
    due_at = await team.store.next_due()
    assert due_at is not None
    assert due_at > team.world.clock.now()


async def test_decisions_on_drills_are_no_sign_of_work(team: Team) -> None:
    await team.until_due()
    await team.somebody_works()
    assert await team.filing.work()
    (drill,) = await team.drills()
    team.world.clock.advance(AT_WORK.total_seconds() / 2)  # type: ignore[attr-defined]
    await team.world.service.decide(verdict(drill, "alice", Verdict.DENY))
    now = team.world.clock.now()
    assert await team.store.people_at_work(now - AT_WORK)
    assert not await team.store.people_at_work(now - AT_WORK / 4)


async def test_of_many_processes_exactly_one_files_it(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    await create_schema(database)
    teams = [Team(drilled(World(database, clock, tmp_path)), seed=seed) for seed in range(5)]
    await teams[0].until_due()
    await teams[0].somebody_works()
    assert sum(await asyncio.gather(*(each.filing.work() for each in teams))) == 1
    assert len(await teams[0].drills()) == 1


async def test_nobody_has_more_in_a_week_than_are_allowed_however_often_it_is_tried(team: Team) -> None:
    for _ in range(40):
        await team.until_due()
        await team.somebody_works()
        await team.filing.work()
    at = sorted(each.request.created_at for each in await team.drills())
    assert len(at) > WEEKLY
    assert all(later - earlier >= WEEK for earlier, later in zip(at, at[WEEKLY:], strict=False))


async def test_who_would_be_asked_later_counts_too(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    await create_schema(database)
    escalating = Terms(
        stages=(Stage((GroupQuorum(),)),), escalation=(EscalationLevel(900, groups=("night",)),)
    )
    team = Team(drilled(World(database, clock, tmp_path, RuleByWord(escalating))))
    await team.until_due()
    await team.somebody_works()
    assert await team.filing.work()
    (asked,) = await team.store.asked_since(clock.now() - WEEK)
    assert sorted(asked) == ["alice", "bob", "zoe"]
    (drill,) = await team.drills()
    # It is over before anybody is called to it once more.
    assert drill.request.expires_at == drill.request.created_at + timedelta(seconds=900)


class DenyEverything:
    """Implements `ports.Policy`."""

    async def evaluate(self, agent: object, submission: object, risk: object) -> Ruling:
        return Ruling("never", RuleVerdict.DENY, risk, Terms(stages=()), "No.")  # type: ignore[arg-type]


async def test_where_the_rules_ask_about_none_there_is_none(
    database: Database, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await create_schema(database)
    world = drilled(World(database, clock, tmp_path))
    await Team(world).somebody_works()
    team = Team(drilled(World(database, clock, tmp_path, DenyEverything())))
    await team.until_due()
    await Team(world).somebody_works()
    assert not await team.filing.work()
    assert await team.drills() == []
    assert "no drill can be filed" in caplog.text


async def test_a_made_up_agent_is_none_that_exists(team: Team) -> None:
    everyone = {made_up_agent(Random(seed)) for seed in range(2000)}
    team.names = {name.upper() for name in everyone if not name.startswith("data-")}
    await team.until_due()
    await team.somebody_works()
    assert await team.filing.work()
    (drill,) = await team.drills()
    assert drill.request.agent.startswith("data-")


async def test_where_every_name_is_taken_nothing_is_filed(team: Team) -> None:
    team.names = {made_up_agent(Random(seed)) for seed in range(2000)}
    await team.until_due()
    await team.somebody_works()
    assert not await team.filing.work()
    assert await team.drills() == []


async def test_agents_that_are_kept_for_it_are_used(world: World) -> None:
    team = Team(world, agents=("quarter-close",))
    await team.until_due()
    await team.somebody_works()
    assert await team.filing.work()
    (drill,) = await team.drills()
    assert drill.request.agent == "quarter-close"


async def test_where_there_are_to_be_none_nothing_is_run_or_planned(world: World) -> None:
    team = Team(world, per_week=0)
    async with asyncio.timeout(5):
        await team.filing.run()
    assert await team.store.next_due() is None
