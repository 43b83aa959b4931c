"""Every order of a few people's acts, two dispatchers and time, against a model that tries everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import pytest

from hitl_mcp.approvals.capacity import ActingFor
from hitl_mcp.approvals.errors import ApprovalError
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.terms import EscalationLevel, GroupQuorum, OnTimeout, Stage, Terms
from tests.approvals.memory import Kept, MemoryWorld
from tests.approvals.naive import Case, House, Member
from tests.approvals.rules import GroupedPeople, RuleByWord, edit
from tests.approvals.world import program, submission, verdict
from tests.conftest import ManualClock

WORDINGS: Final = [program("zero"), program("one"), program("two")]
SPELLED: Final = {"alice": "ＡＬＩＣＥ", "bob": "Bob", "carol": "carol", "manager": "manager"}


@dataclass(frozen=True)
class Scene:
    """A house, its people, who may leave (and then comes back with these groups), and who edits.

    At 100 a request expires, and an approval given at 0 has lapsed.
    """

    house: House
    people: dict[str, Member]
    leaves: str = "bob"
    left_with: Member | None = None
    editors: tuple[str, ...] = ("alice",)
    edits: int = 1
    moments: tuple[int, ...] = (0, 100)


def member(*groups: str, stands_for: tuple[tuple[str, frozenset[str]], ...] = ()) -> Member:
    return Member(frozenset({"approver", *groups}), stands_for)


ALICE_SECURITY: Final = (("alice", frozenset({"security"})),)
THREE: Final = {"alice": member(), "bob": member(), "carol": member()}

SCENES: Final = {
    "two of three": Scene(House((("approver", "approver"),)), THREE),
    "one, edited twice": Scene(
        House((("approver",),)), {"alice": member(), "bob": member()}, editors=("alice", "bob"), edits=2
    ),
    "one of each of two groups": Scene(
        House((("security", "platform"),)),
        {"alice": member("security", "platform"), "bob": member("platform"), "carol": member("security")},
    ),
    "two stages": Scene(
        House((("security",), ("platform",))),
        {"alice": member("security", "platform"), "bob": member("platform"), "carol": member("security")},
        left_with=member(),
    ),
    "two stages that one person may fill": Scene(
        House((("security",), ("platform",)), separate=False),
        {"alice": member("security", "platform"), "bob": member("platform")},
        leaves="alice",
        left_with=member("security"),
    ),
    "two denials end it and silence approves": Scene(
        House((("approver", "approver"),), denials=2, unsafe=True), THREE, edits=0, moments=(0, 100, 170)
    ),
    "silence approves unless it was edited": Scene(
        House((("approver",),), unsafe=True), {"alice": member(), "bob": member()}, moments=(0, 100, 170)
    ),
    "escalation and a delegation": Scene(
        House((("security",),), escalate_at=60, escalated=frozenset({"managers"})),
        {"bob": member(stands_for=ALICE_SECURITY), "manager": member("managers")},
        left_with=member(),
        editors=("bob",),
        moments=(0, 60, 100),
    ),
    "a delegation from the requester": Scene(
        House((("security",),), requester="alice"),
        {"bob": member(stands_for=ALICE_SECURITY), "carol": member("security"), "alice": member("security")},
        editors=("bob",),
    ),
    "a delegation from the excluded": Scene(
        House((("security", "approver"),), excluded=frozenset({"alice"})),
        {"bob": member(stands_for=ALICE_SECURITY), "carol": member("security"), "alice": member("security")},
    ),
    "editors do not count": Scene(
        House((("approver",),), editor_counts=False), THREE, editors=("alice", "bob"), edits=2
    ),
}


def decided(record: RequestRecord) -> frozenset[tuple[str, bool, int, int]]:
    return frozenset(
        (each.person, each.verdict is Verdict.APPROVE, each.revision, each.stage) for each in record.decisions
    )


def terms_of(house: House) -> Terms:
    levels = (EscalationLevel(house.escalate_at, tuple(house.escalated)),) if house.escalate_at else ()
    return Terms(
        stages=tuple(Stage(tuple(GroupQuorum(group) for group in stage)) for stage in house.seats),
        separate_stages=house.separate,
        denials_to_end=house.denials,
        excluded=tuple(house.excluded),
        editor_counts=house.editor_counts,
        timeout_seconds=house.expires,
        on_timeout=OnTimeout.UNSAFE_AUTO_APPROVE if house.unsafe else OnTimeout.DENY,
        escalation=levels,
    )


@dataclass(frozen=True)
class Point:
    """A state that was reached: of the service and of the model, when, and whether somebody has left."""

    kept: Kept
    case: Case
    moment: int
    left: bool


@dataclass
class Explorer:
    scene: Scene
    clock: ManualClock = field(default_factory=ManualClock)
    collected: int = 0

    def __post_init__(self) -> None:
        self.people = GroupedPeople()
        self.world = MemoryWorld(
            RuleByWord(terms_of(self.scene.house)), self.people, self.clock, self.scene.house.validity
        )
        self.start = self.clock.now()
        self.request_id = ""

    async def begin(self) -> Point:
        agent = self.scene.house.requester
        record = await self.world.services[0].submit(agent, submission("zero", risk=RiskLevel.LOW))
        self.request_id = record.request.request_id
        return Point(self.world.database.kept, Case(self.scene.house), 0, left=False)

    def members(self, point: Point) -> dict[str, Member]:
        if not point.left:
            return self.scene.people
        others = {name: each for name, each in self.scene.people.items() if name != self.scene.leaves}
        back = self.scene.left_with
        return others if back is None else {**others, self.scene.leaves: back}

    def put_back(self, point: Point) -> RequestRecord:
        self.world.database.kept = point.kept
        self.clock.advance((self.start - self.clock.now()).total_seconds() + self.scene.moments[point.moment])
        members = self.members(point)
        self.people.groups = {name: set(each.groups) for name, each in members.items()}
        # The directory gives every approver the role; the groups say the rest.
        self.people.delegations = {
            name: [ActingFor(face, groups, f"del_{face}") for face, groups in each.stands_for]
            for name, each in members.items()
        }
        return point.kept.records[self.request_id]

    async def next_points(self, point: Point) -> list[Point]:
        found = [await self.after(point, act, expected) for act, expected in self.acts(point)]
        if point.moment + 1 < len(self.scene.moments):
            found.append(replace(point, moment=point.moment + 1))
        if not point.left:
            found.append(replace(point, left=True))
        return found

    async def after(self, point: Point, act: Awaitable[object], expected: Case) -> Point:
        self.put_back(point)
        with suppress(ApprovalError):
            await act
        return Point(self.world.database.kept, expected, point.moment, point.left)

    def acts(self, point: Point) -> Iterator[tuple[Awaitable[object], Case]]:
        """Everything that somebody can do here, and what the model says comes of it."""
        case, now, members = point.case, self.scene.moments[point.moment], self.members(point)
        record = point.kept.records[self.request_id]
        one, other = self.world.services
        for name in (*self.scene.people, "mallory"):
            who = members.get(name)
            for given in Verdict:
                yes = given is Verdict.APPROVE
                fresh = verdict(record, SPELLED.get(name, name), given)
                yield one.decide(fresh), case.decide(name, who, yes=yes, stale=False, now=now)
        if case.wording:
            stale = verdict(record, "bob", digest=record.revisions[0].action_digest)
            yield other.decide(stale), case.decide("bob", members.get("bob"), yes=True, stale=True, now=now)
        if case.wording < self.scene.edits:
            for name in self.scene.editors:
                changed = edit(record, name, WORDINGS[case.wording + 1])
                yield other.edit(changed), case.edit(name, members.get(name), now)
        cancel = one.cancel(self.request_id, agent=self.scene.house.requester, person=None, reason=None)
        yield cancel, case.cancel(now)
        if "carol" in members:
            yield other.revoke(self.request_id, person="carol", reason=None), case.revoke()
        # Two dispatchers, one of them with a clock that is late.
        yield self.expire(one, now), case.time_out(now)
        yield self.expire(other, now - 60), case.time_out(now - 60)

    def expire(self, service: ApprovalService, at: int) -> Awaitable[object]:
        withdrawals = service._withdrawals
        return withdrawals.expire(self.request_id, self.start + timedelta(seconds=at))

    async def check(self, point: Point) -> None:
        record = self.put_back(point)
        case, request = point.case, record.request
        assert request.status.value == case.status
        assert (request.revoked_at is not None) == case.revoked
        assert request.revision == case.wording
        assert decided(record) == {(vote.person, vote.yes, vote.wording, vote.stage) for vote in case.votes}
        ended = [kind for kind, _ in point.kept.news].count("ended")
        assert ended == (request.status is not RequestStatus.PENDING)
        got = await self.collect()
        assert got is case.collects(self.scene.moments[point.moment], self.members(point))
        self.collected += got

    async def collect(self) -> bool:
        try:
            token = await self.world.services[1].collect_token(self.scene.house.requester, self.request_id)
        except ApprovalError:
            return False
        request = self.world.database.kept.records[self.request_id].request
        assert token.token.endswith(request.action_digest)
        return True

    def key(self, point: Point) -> object:
        # What the service holds is part of the key: a state that differs from the model's is looked at too.
        record = point.kept.records[self.request_id]
        request = record.request
        held = (request.status, request.revision, request.revoked_at is not None, decided(record))
        return point.case, point.moment, point.left, held

    async def explore(self) -> int:
        first = await self.begin()
        seen = {self.key(first)}
        waiting = [first]
        while waiting:
            point = waiting.pop()
            await self.check(point)
            for found in await self.next_points(point):
                before, after = (each.kept.records[self.request_id].request for each in (point, found))
                assert not before.status.is_terminal or before.status is after.status
                assert found.kept.trail[: len(point.kept.trail)] == point.kept.trail
                if self.key(found) not in seen:
                    seen.add(self.key(found))
                    waiting.append(found)
        return len(seen)


@pytest.mark.parametrize("name", SCENES)
def test_in_every_order_exactly_what_the_plain_model_says_happens(name: str) -> None:
    explorer = Explorer(SCENES[name])
    reached = asyncio.run(explorer.explore())
    assert reached > 20
    assert explorer.collected, "no order of acts led to a token: the check would show nothing"
