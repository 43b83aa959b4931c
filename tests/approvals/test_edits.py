"""An approver's edit: another digest, a fresh quorum, and three records."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from hitl_contract.action import Action, action_digest, canonical_action, parse_action
from hitl_contract.verify import verify_token
from hitl_mcp.approvals.errors import (
    AlreadyEnded,
    ApprovalError,
    DigestChanged,
    EditRefused,
    InvalidSubmission,
    NotEligible,
    ReviewTooShort,
)
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import Conditions, LimitValue, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.terms import OfferedCondition, OnTimeout
from hitl_mcp.approvals.tightening import is_tighter, tightened
from hitl_mcp.interface.views import ApprovalViews
from server_kit.database.base import Database
from tests.approvals.rules import GroupedPeople, RuleByWord, asking, edit, stage
from tests.approvals.world import World, create_schema, program, submission, verdict
from tests.conftest import ManualClock

SHORT = OfferedCondition("short", (("limits.wall_seconds", 5), ("network.mode", "none")))
PEOPLE = ["alice", "bob", "carol"]


@pytest_asyncio.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    await create_schema(database)
    terms = {
        "two": asking(stage(approver=2)),
        "security": asking(stage(security=1), required_assurance=Assurance.SESSION),
        "fixed": asking(may_edit=False, conditions=(SHORT,)),
        "others": asking(editor_counts=False),
        "reviewed": asking(minimum_review_seconds=30),
        "unsafe": asking(on_timeout=OnTimeout.UNSAFE_AUTO_APPROVE, timeout_seconds=100),
        "offering": asking(conditions=(SHORT,)),
    }
    people = GroupedPeople({"alice": {"security"}, "bob": set(), "carol": set()})
    return World(database, clock, tmp_path, RuleByWord(terms=terms), groups=people)


async def submit(world: World, code: str) -> RequestRecord:
    return await world.service.submit("agent-1", submission(code))


async def test_an_edit_voids_earlier_approvals_and_the_token_is_for_the_edited_action(world: World) -> None:
    record = await submit(world, "two")
    await world.service.decide(verdict(record, "alice"))
    edited = await world.service.edit(edit(record, "bob", program("two, safely"), reason="safer"))
    request = edited.request
    assert (request.status, request.revision) == (RequestStatus.PENDING, 1)
    assert request.action_digest == action_digest(program("two, safely"))
    assert request.proposed_digest == record.request.action_digest
    assert edited.received_approvals == 0
    assert len((await world.service.get(request.request_id)).decisions) == 1
    for person in ("alice", "bob"):
        edited = await world.service.decide(verdict(edited, person))
    assert edited.request.status is RequestStatus.APPROVED
    token = await world.service.collect_token("agent-1", request.request_id)
    claims = verify_token(
        token.token,
        keys=world.keys.public_keys(),
        policy=world.verification,
        now=world.clock.now().timestamp(),
    ).claims
    assert claims.action_digest == request.action_digest
    assert await world.service.approved_action(claims.action_digest) == canonical_action(request.action)


async def test_proposed_and_edited_actions_stay_on_record(world: World) -> None:
    record = await submit(world, "first")
    once = await world.service.edit(edit(record, "alice", program("second"), reason="shorter"))
    twice = await world.service.edit(edit(once, "bob", program("third")))
    kept = (await world.service.get(record.request.request_id)).revisions
    assert [(each.revision, each.editor, each.action_digest) for each in kept] == [
        (0, "agent-1", action_digest(program("first"))),
        (1, "alice", action_digest(program("second"))),
        (2, "bob", action_digest(program("third"))),
    ]
    assert twice.revisions == kept
    for each in kept:
        assert await world.service.approved_action(each.action_digest)
    events = await world.events_about(record.request.request_id)
    assert events == ["request.created", "request.edited", "request.edited"]
    assert (await world.notifications_about(record.request.request_id))[1:] == ["changed", "changed"]


async def test_an_approval_of_the_wording_before_the_edit_is_refused(world: World) -> None:
    record = await submit(world, "first")
    await world.service.edit(edit(record, "alice", program("second")))
    with pytest.raises(DigestChanged):
        await world.service.decide(verdict(record, "bob"))
    with pytest.raises(DigestChanged):
        await world.service.edit(edit(record, "bob", program("third")))


async def test_the_agent_asking_again_for_what_it_proposed_is_attached_to_the_edited_request(
    world: World,
) -> None:
    record = await world.service.submit("agent-1", submission("first", key="k"))
    await world.service.edit(edit(record, "alice", program("second")))
    for key in (None, "k"):
        again = await world.service.submit("agent-1", submission("first", key=key))
        assert again.request.request_id == record.request.request_id
    other = await submit(world, "second")
    assert other.request.request_id != record.request.request_id


async def test_the_agent_is_told_what_was_approved_instead(world: World) -> None:
    views = ApprovalViews(world.service, public_url="https://x")
    record = await submit(world, "first")
    assert (await views.for_agent("agent-1", record)).effective_action is None
    edited = await world.service.edit(edit(record, "alice", program("second")))
    approved = await world.service.decide(verdict(edited, "bob"))
    answer = await views.for_agent("agent-1", approved)
    assert answer.effective_action is not None
    assert parse_action(answer.effective_action) == program("second")
    assert answer.capability_token is not None
    assert "effective_action" in answer.next_step


async def test_an_edit_that_a_rule_denies_is_refused_and_one_that_it_allows_still_needs_people(
    world: World,
) -> None:
    record = await submit(world, "first")
    with pytest.raises(EditRefused, match="does harm"):
        await world.service.edit(edit(record, "alice", program("denied")))
    edited = await world.service.edit(edit(record, "alice", program("allowed")))
    assert edited.request.status is RequestStatus.PENDING
    assert edited.request.required_approvals == 1


async def test_an_edit_gets_the_stricter_terms_of_both_wordings(world: World) -> None:
    record = await submit(world, "first")
    edited = await world.service.edit(edit(record, "alice", program("two")))
    assert edited.request.required_approvals == 2
    back = await world.service.edit(edit(edited, "alice", program("first")))
    assert back.request.required_approvals == 2
    strict = await world.service.edit(edit(back, "alice", program("security")))
    assert strict.request.required_assurance is Assurance.SESSION
    assert {q.group for each in strict.request.terms.stages for q in each.quorums} == {"approver", "security"}


async def test_an_edit_never_lowers_the_risk(world: World) -> None:
    record = await world.service.submit("agent-1", submission("first", risk=RiskLevel.CRITICAL))
    edited = await world.service.edit(edit(record, "alice", program("second")))
    assert edited.request.risk_level is RiskLevel.CRITICAL


async def test_silence_does_not_approve_what_a_person_changed(world: World, clock: ManualClock) -> None:
    record = await submit(world, "unsafe")
    await world.service.edit(edit(record, "alice", program("unsafe too")))
    clock.advance(100)
    record = await world.service.get(record.request.request_id)
    assert record.request.status is RequestStatus.TIMEOUT


async def test_where_editors_do_not_count_somebody_else_approves(world: World) -> None:
    record = await submit(world, "others")
    edited = await world.service.edit(edit(record, "alice", program("others too")))
    with pytest.raises(NotEligible, match="they edited it"):
        await world.service.decide(verdict(edited, "ALICE"))
    edited = await world.service.edit(edit(edited, "alice", program("others also")))
    done = await world.service.decide(verdict(edited, "bob"))
    assert done.request.status is RequestStatus.APPROVED
    assert await world.service.collect_token("agent-1", record.request.request_id)


async def test_an_edit_starts_the_review_time_anew_but_not_for_who_wrote_it(
    world: World, clock: ManualClock
) -> None:
    record = await submit(world, "reviewed")
    clock.advance(30)
    edited = await world.service.edit(edit(record, "alice", program("reviewed too")))
    with pytest.raises(ReviewTooShort):
        await world.service.decide(verdict(edited, "bob"))
    done = await world.service.decide(verdict(edited, "alice"))
    assert done.request.status is RequestStatus.APPROVED
    assert await world.service.collect_token("agent-1", record.request.request_id)


TOO_MANY = parse_action({"type": "generic", "operation": "deploy", "details": {}})


@pytest.mark.parametrize(
    ("code", "person", "action", "assurance", "error"),
    [
        ("first", "mallory", program("x"), Assurance.SESSION, NotEligible),
        ("first", "agent-1", program("x"), Assurance.SESSION, NotEligible),
        ("security", "bob", program("x"), Assurance.SESSION, NotEligible),
        ("security", "alice", program("x"), Assurance.CHAT, NotEligible),
        ("fixed", "alice", program("x"), Assurance.SESSION, EditRefused),
        ("first", "alice", program("first"), Assurance.SESSION, EditRefused),
        ("first", "alice", TOO_MANY, Assurance.SESSION, EditRefused),
    ],
)
async def test_an_edit_that_is_not_allowed_changes_nothing_and_is_recorded(
    world: World,
    code: str,
    person: str,
    action: Action,
    assurance: Assurance,
    error: type[ApprovalError],
) -> None:
    record = await submit(world, code)
    with pytest.raises(error):
        await world.service.edit(edit(record, person, action, assurance=assurance))
    assert await world.service.get(record.request.request_id) == record
    events = await world.events_about(record.request.request_id)
    assert events == ["request.created", "request.decision_refused"]


async def test_an_ended_request_is_not_edited(world: World) -> None:
    record = await submit(world, "first")
    await world.service.decide(verdict(record, "alice", Verdict.DENY))
    with pytest.raises(AlreadyEnded):
        await world.service.edit(edit(record, "bob", program("second")))


async def test_a_request_is_not_edited_without_end(world: World) -> None:
    record = await submit(world, "first")
    for number in range(20):
        record = await world.service.edit(edit(record, "alice", program(f"print({number})")))
    with pytest.raises(EditRefused, match="20 times"):
        await world.service.edit(edit(record, "alice", program("one more")))


NETWORKED = parse_action(
    {
        "type": "code_execution",
        "language": "python",
        "code": "offering",
        "network": {"mode": "allowlist", "domains": ["a.example", "b.example"]},
        "profile": "standard",
    }
)


async def test_approving_with_conditions_approves_the_tighter_action_in_one_go(world: World) -> None:
    record = await submit(world, "offering")
    conditions = Conditions(("short",), {"limits.memory_mb": 64})
    done = await world.service.approve_with_conditions(verdict(record, "alice"), conditions)
    assert done.request.status is RequestStatus.APPROVED
    assert done.request.revision == 1
    limits = done.request.action.model_dump()["limits"]
    assert (limits["wall_seconds"], limits["memory_mb"]) == (5, 64)
    assert done.decisions[0].conditions == "short; limits.memory_mb = 64"
    assert await world.service.collect_token("agent-1", record.request.request_id)


async def test_conditions_that_are_met_already_make_a_plain_approval(world: World) -> None:
    action = parse_action(program("offering").model_dump() | {"limits": {"wall_seconds": 2}})
    asked = submission("offering")
    record = await world.service.submit("agent-1", type(asked)(action=action, justification="why"))
    done = await world.service.approve_with_conditions(verdict(record, "alice"), Conditions(("short",)))
    assert (done.request.status, done.request.revision) == (RequestStatus.APPROVED, 0)


async def test_conditions_of_the_first_of_two_are_what_the_second_approves(world: World) -> None:
    record = await submit(world, "two")
    conditions = Conditions(limits={"limits.wall_seconds": 3})
    record = await world.service.approve_with_conditions(verdict(record, "alice"), conditions)
    assert (record.request.status, record.received_approvals) == (RequestStatus.PENDING, 1)
    done = await world.service.decide(verdict(record, "bob"))
    assert done.request.status is RequestStatus.APPROVED
    assert await world.service.collect_token("agent-1", record.request.request_id)


async def test_an_offered_condition_may_be_used_where_editing_is_not_allowed_and_no_other(
    world: World,
) -> None:
    record = await submit(world, "fixed")
    free = Conditions(limits={"limits.wall_seconds": 3})
    with pytest.raises(EditRefused):
        await world.service.approve_with_conditions(verdict(record, "alice"), free)
    done = await world.service.approve_with_conditions(verdict(record, "alice"), Conditions(("short",)))
    assert done.request.status is RequestStatus.APPROVED


async def test_conditions_without_the_approval_do_not_happen(world: World) -> None:
    record = await submit(world, "others")
    with pytest.raises(NotEligible):
        await world.service.approve_with_conditions(
            verdict(record, "alice"), Conditions(limits={"limits.wall_seconds": 3})
        )
    assert await world.service.get(record.request.request_id) == record
    with pytest.raises(InvalidSubmission, match="denial"):
        await world.service.approve_with_conditions(verdict(record, "alice", Verdict.DENY), Conditions())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("limits.wall_seconds", 31),
        ("limits.wall_seconds", 30),
        ("limits.wall_seconds", 0),
        ("limits.wall_seconds", "abc"),
        ("limits.nothing", 1),
        ("network.mode", "allowlist"),
        ("network.domains", ("a.example", "c.example")),
        ("network.domains", ("a.example", "b.example")),
        ("profile", "trusted"),
        ("profile", "standard"),
        ("code", "x"),
        ("limits", 1),
    ],
)
def test_what_is_not_tighter_is_no_condition(path: str, value: LimitValue) -> None:
    with pytest.raises(InvalidSubmission, match="conditions"):
        tightened(NETWORKED, asking(), Conditions(limits={path: value}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("limits.wall_seconds", 29.5),
        ("limits.pids", 1),
        ("network.mode", "none"),
        ("network.domains", ("a.example",)),
        ("network.domains", "b.example"),
        ("profile", "restricted"),
    ],
)
def test_what_is_tighter_is_a_condition(path: str, value: LimitValue) -> None:
    result = tightened(NETWORKED, asking(), Conditions(limits={path: value}))
    assert is_tighter(NETWORKED, result)
    assert not is_tighter(result, NETWORKED)


def test_nothing_but_limits_network_and_profile_makes_an_action_tighter() -> None:
    changes = {"code": "offerin", "input_data": 1, "packages": ["requests"], "runtime": "sha256:" + "a" * 64}
    for name, value in changes.items():
        other = parse_action(NETWORKED.model_dump() | {name: value, "profile": "restricted"})
        assert not is_tighter(NETWORKED, other)
    assert not is_tighter(TOO_MANY, TOO_MANY)
    with pytest.raises(InvalidSubmission, match="only a program"):
        tightened(TOO_MANY, asking(), Conditions(limits={"limits.pids": 1}))
