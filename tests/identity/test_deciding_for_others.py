"""Delegation against the real engine: nobody approves their own request by way of somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from hitl_mcp.approvals.errors import ApprovalError, NotEligible
from hitl_mcp.approvals.models import RequestStatus, Submission
from hitl_mcp.approvals.terms import (
    AgentFacts,
    GroupQuorum,
    RiskAssessment,
    RuleVerdict,
    Ruling,
    Stage,
    Terms,
)
from hitl_mcp.identity.delegation_terms import DelegationScope
from hitl_mcp.identity.delegations import NewDelegation
from server_kit.database.opening import open_database
from tests.approvals.world import World, submission, verdict
from tests.conftest import ManualClock
from tests.identity.directories import Directories, open_directories


@dataclass
class AskSecurity:
    """Asks `count` of security; the owner of the agent, carol, does not count."""

    count: int = 1

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        terms = Terms(stages=(Stage((GroupQuorum("security", self.count),)),), excluded=("Carol",))
        return Ruling("security", RuleVerdict.ASK, risk, terms)


@dataclass
class Scene:
    clock: ManualClock
    people: Directories
    world: World
    policy: AskSecurity

    async def lend(self, delegator: str, delegate: str, groups: tuple[str, ...] = ()) -> str:
        until = self.clock.now() + timedelta(days=1)
        wanted = NewDelegation(delegator, delegate, until, scope=DelegationScope(groups))
        return (await self.people.delegations.add(wanted)).delegation_id


@pytest_asyncio.fixture
async def scene(sqlite_url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Scene]:
    """ada, bob and carol approve; ada and carol are in security; eve approves nothing of her own."""
    database = await open_database(sqlite_url)
    people, policy = await open_directories(database, clock), AskSecurity()
    for person in ("ada", "bob", "carol"):
        await people.people.add(person, None)
    await people.people.add("eve", None, [])
    await people.groups.add("security", ("ada", "carol"))
    yield Scene(clock, people, World(database, clock, tmp_path, policy, groups=people.people), policy)
    await database.close()


async def test_a_delegate_takes_the_seat_of_the_delegators_group(scene: Scene) -> None:
    asked = await scene.world.service.submit("builder", submission())
    await scene.lend("ada", "eve", groups=("security",))
    done = await scene.world.service.decide(verdict(asked, "EVE"))
    assert done.request.status is RequestStatus.APPROVED
    assert done.decisions[0].person == "eve"
    assert (await scene.world.service.collect_token("builder", asked.request.request_id)).token


async def test_an_excluded_owner_lends_nobody_a_seat_and_is_lent_none(scene: Scene) -> None:
    asked = await scene.world.service.submit("builder", submission())
    await scene.lend("carol", "eve")
    await scene.lend("ada", "carol")
    for person in ("eve", "carol"):
        with pytest.raises(NotEligible):
            await scene.world.service.decide(verdict(asked, person))


async def test_a_requester_decides_neither_alone_nor_through_a_delegation(scene: Scene) -> None:
    await scene.lend("ada", "eve")
    for requester in ("Eve", "ada"):
        asked = await scene.world.service.submit(requester, submission(f"print({requester!r})"))
        with pytest.raises(NotEligible):
            await scene.world.service.decide(verdict(asked, "eve"))


async def test_acting_for_another_is_no_second_seat(scene: Scene) -> None:
    scene.policy.count = 2
    asked = await scene.world.service.submit("builder", submission())
    await scene.people.groups.join("security", "bob")
    await scene.lend("ada", "bob")
    done = await scene.world.service.decide(verdict(asked, "bob"))
    assert done.request.status is RequestStatus.PENDING


async def test_several_accounts_are_one_vote(scene: Scene) -> None:
    scene.policy.count = 2
    asked = await scene.world.service.submit("builder", submission())
    for channel, account in (("slack", "U1"), ("telegram", "7")):
        await scene.people.people.link(channel, account, "ada")
        person = await scene.people.people.resolve(channel, account)
        assert person is not None
        done = await scene.world.service.decide(verdict(asked, person, channel=channel))
        assert done.request.status is RequestStatus.PENDING
    done = await scene.world.service.decide(verdict(asked, "\uff21DA", channel="web"))
    assert done.request.status is RequestStatus.PENDING
    assert len(done.decisions) == 1


@pytest.mark.parametrize("end", ["revoked", "delegator suspended", "role lost", "left the group", "over"])
async def test_what_ended_before_the_token_was_collected_gives_none(scene: Scene, end: str) -> None:
    asked = await scene.world.service.submit("builder", submission())
    delegation_id = await scene.lend("ada", "eve")
    done = await scene.world.service.decide(verdict(asked, "eve"))
    assert done.request.status is RequestStatus.APPROVED
    match end:
        case "revoked":
            await scene.people.delegations.revoke(delegation_id)
        case "delegator suspended":
            await scene.people.people.suspend("ada")
        case "role lost":
            await scene.people.people.set_roles("ada", ["reader"])
        case "left the group":
            await scene.people.groups.leave("security", "ada")
        case _:
            scene.clock.advance(timedelta(days=1).total_seconds())
    with pytest.raises(ApprovalError):
        await scene.world.service.collect_token("builder", asked.request.request_id)
