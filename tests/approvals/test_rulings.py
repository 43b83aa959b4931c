"""What a rule decides by itself, and what it asks of people."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from hitl_contract.verify import verify_token
from hitl_mcp.approvals.capacity import ActingFor
from hitl_mcp.approvals.errors import (
    AlreadyEnded,
    ApprovalExpired,
    InvalidSubmission,
    NotApproved,
    NotEligible,
    NotYourTurn,
    ReviewTooShort,
    Revoked,
    SealBroken,
)
from hitl_mcp.approvals.levels import Assurance
from hitl_mcp.approvals.models import BatchInput, BatchItem, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.terms import EscalationLevel, GroupQuorum, OnTimeout, Stage, Terms
from server_kit.database.base import Database
from tests.approvals.rules import GroupedPeople, RuleByWord, asking, stage
from tests.approvals.world import World, create_schema, submission, verdict
from tests.conftest import ManualClock

UNSAFE = asking(on_timeout=OnTimeout.UNSAFE_AUTO_APPROVE, timeout_seconds=100)
TWO_STAGES = asking(stage(security=1), stage(platform=2))


@pytest_asyncio.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    await create_schema(database)
    policy = RuleByWord(
        terms={
            "unsafe": UNSAFE,
            "stages": TWO_STAGES,
            "reasoned": asking(reason_required=True),
            "reviewed": asking(minimum_review_seconds=30),
            "escalated": asking(stage(security=1), escalation=(EscalationLevel(60, groups=("managers",)),)),
            "owned": asking(excluded=("Alice",)),
            "tolerant": asking(stage(approver=2), denials_to_end=2),
            "nobody": Terms(stages=()),
            "absurd": asking(stage(approver=33)),
            "none_of_it": Terms(stages=(Stage((GroupQuorum("approver", 0),)),)),
        }
    )
    people = GroupedPeople(
        {
            "alice": {"security"},
            "bob": {"platform"},
            "carol": {"platform", "security"},
            "dave": {"platform"},
            "erin": {"managers"},
        }
    )
    return World(database, clock, tmp_path, policy, groups=people)


async def submit(world: World, code: str, *, timeout: int | None = None) -> RequestRecord:
    return await world.service.submit("agent-1", submission(code, timeout=timeout))


def claims_of(world: World, token: str) -> tuple[str, ...]:
    verified = verify_token(
        token, keys=world.keys.public_keys(), policy=world.verification, now=world.clock.now().timestamp()
    )
    return tuple(f"{each.person} {each.channel} {each.assurance}" for each in verified.claims.approved_by)


async def test_what_a_rule_allows_is_approved_at_once_and_says_by_which_rule(world: World) -> None:
    record = await submit(world, "allowed")
    request = record.request
    assert (request.status, request.policy) == (RequestStatus.APPROVED, "allow-harmless")
    assert request.required_approvals == 0
    assert await world.events_about(request.request_id) == ["request.created", "request.allowed_by_rule"]
    assert await world.notifications_about(request.request_id) == []
    token = await world.service.collect_token("agent-1", request.request_id)
    assert claims_of(world, token.token) == ("rule:allow-harmless rule rule",)


async def test_what_a_rule_allows_lapses_and_can_be_revoked_like_any_approval(
    world: World, clock: ManualClock
) -> None:
    record = await submit(world, "allowed")
    await world.service.revoke(record.request.request_id, person="alice", reason=None)
    with pytest.raises(Revoked):
        await world.service.collect_token("agent-1", record.request.request_id)
    later = await submit(world, "allowed again")
    clock.advance(3600)
    with pytest.raises(ApprovalExpired):
        await world.service.collect_token("agent-1", later.request.request_id)


async def test_what_a_rule_denies_is_denied_at_once_with_the_explanation(world: World) -> None:
    record = await submit(world, "denied")
    assert record.request.status is RequestStatus.DENIED
    assert record.request.explanation == "It does harm."
    assert await world.events_about(record.request.request_id) == [
        "request.created",
        "request.denied_by_rule",
    ]
    with pytest.raises(NotApproved):
        await world.service.collect_token("agent-1", record.request.request_id)
    with pytest.raises(AlreadyEnded):
        await world.service.decide(verdict(record, "alice"))


@pytest.mark.parametrize("code", ["nobody", "absurd", "none_of_it"])
async def test_a_rule_that_nobody_could_satisfy_denies(world: World, code: str) -> None:
    record = await submit(world, code)
    assert record.request.status is RequestStatus.DENIED


async def test_stages_are_filled_in_order_and_whoever_is_early_is_told_who_is_first(world: World) -> None:
    record = await submit(world, "stages")
    with pytest.raises(NotYourTurn, match="first 1 of security must approve"):
        await world.service.decide(verdict(record, "bob"))
    assert "request.decision_refused" in await world.events_about(record.request.request_id)
    record = await world.service.decide(verdict(record, "alice"))
    assert record.request.status is RequestStatus.PENDING
    await world.service.decide(verdict(record, "bob"))
    record = await world.service.decide(verdict(record, "carol"))
    assert record.request.status is RequestStatus.APPROVED
    assert {each.person: each.stage for each in record.decisions} == {"alice": 0, "bob": 1, "carol": 1}
    assert await world.service.collect_token("agent-1", record.request.request_id)


async def test_somebody_outside_every_group_decides_nothing(world: World) -> None:
    record = await submit(world, "stages")
    for given in Verdict:
        with pytest.raises(NotEligible, match="erin is not among them"):
            await world.service.decide(verdict(record, "erin", given))


async def test_a_denial_may_come_from_any_stage_at_any_time(world: World) -> None:
    record = await submit(world, "stages")
    record = await world.service.decide(verdict(record, "dave", Verdict.DENY))
    assert record.request.status is RequestStatus.DENIED


async def test_a_group_left_after_approving_counts_no_more_when_the_token_is_asked_for(world: World) -> None:
    record = await submit(world, "stages")
    for person in ("alice", "bob", "carol"):
        record = await world.service.decide(verdict(record, person))
    assert isinstance(world.groups, GroupedPeople)
    world.groups.groups["alice"] = {"platform"}
    with pytest.raises(NotEligible, match="may still decide"):
        await world.service.collect_token("agent-1", record.request.request_id)
    world.groups.groups["alice"] = {"security"}
    assert await world.service.collect_token("agent-1", record.request.request_id)


async def test_a_delegation_fills_the_seat_and_counts_no_more_once_it_is_withdrawn(world: World) -> None:
    assert isinstance(world.groups, GroupedPeople)
    lent = ActingFor("alice", frozenset({"security", "approver"}), "del_1")
    world.groups.delegations["erin"] = [lent]
    record = await submit(world, "stages")
    record = await world.service.decide(verdict(record, "erin"))
    assert record.decisions[0].acted_as.acting_for == (replace(lent, groups=frozenset({"security"})),)
    for person in ("bob", "carol"):
        record = await world.service.decide(verdict(record, person))
    assert record.request.status is RequestStatus.APPROVED
    del world.groups.delegations["erin"]
    with pytest.raises(NotEligible, match="may still decide"):
        await world.service.collect_token("agent-1", record.request.request_id)


async def test_an_escalation_level_may_decide_once_it_is_due(world: World, clock: ManualClock) -> None:
    record = await submit(world, "escalated")
    with pytest.raises(NotEligible):
        await world.service.decide(verdict(record, "erin"))
    clock.advance(60)
    record = await world.service.decide(verdict(record, "erin"))
    assert record.request.status is RequestStatus.APPROVED
    assert await world.service.collect_token("agent-1", record.request.request_id)


async def test_whom_the_rule_excludes_neither_approves_nor_denies(world: World) -> None:
    record = await submit(world, "owned")
    for given in Verdict:
        with pytest.raises(NotEligible, match="excludes"):
            await world.service.decide(verdict(record, "ALICE", given))
    assert (await world.service.decide(verdict(record, "bob"))).request.status is RequestStatus.APPROVED


async def test_where_two_denials_end_it_one_does_not(world: World) -> None:
    record = await submit(world, "tolerant")
    record = await world.service.decide(verdict(record, "alice", Verdict.DENY))
    assert record.request.status is RequestStatus.PENDING
    await world.service.decide(verdict(record, "bob"))
    approved = await world.service.decide(verdict(record, "carol"))
    assert approved.request.status is RequestStatus.APPROVED
    token = await world.service.collect_token("agent-1", record.request.request_id)
    assert sorted(claims_of(world, token.token)) == ["bob web session", "carol web session"]
    other = await submit(world, "tolerant too")
    await world.service.decide(verdict(other, "alice", Verdict.DENY))
    ended = await world.service.decide(verdict(other, "bob", Verdict.DENY))
    assert ended.request.status is RequestStatus.DENIED


async def test_a_reason_that_is_asked_for_is_needed_for_either_verdict(world: World) -> None:
    record = await submit(world, "reasoned")
    for given in Verdict:
        with pytest.raises(InvalidSubmission, match="reason"):
            await world.service.decide(verdict(record, "alice", given, reason="  "))
    done = await world.service.decide(verdict(record, "alice", reason="looks right"))
    assert done.request.status is RequestStatus.APPROVED


async def test_an_approval_too_soon_is_refused_with_how_long_is_left_and_a_denial_is_not(
    world: World, clock: ManualClock
) -> None:
    record = await submit(world, "reviewed")
    clock.advance(10)
    with pytest.raises(ReviewTooShort, match="in 20 s"):
        await world.service.decide(verdict(record, "alice"))
    clock.advance(20)
    seen_late = replace(verdict(record, "alice"), first_seen_at=clock.now() - timedelta(seconds=5))
    with pytest.raises(ReviewTooShort, match="in 25 s"):
        await world.service.decide(seen_late)
    before_it_was_there = replace(seen_late, first_seen_at=clock.now() - timedelta(days=1))
    record = await world.service.decide(before_it_was_there)
    assert record.decisions[0].reviewed_from == record.request.created_at
    assert await world.service.collect_token("agent-1", record.request.request_id)
    other = await submit(world, "reviewed too")
    denied = await world.service.decide(verdict(other, "alice", Verdict.DENY))
    assert denied.request.status is RequestStatus.DENIED


async def test_silence_approves_only_by_the_dangerous_name_and_says_so(
    world: World, clock: ManualClock
) -> None:
    record = await submit(world, "unsafe", timeout=10)
    request_id = record.request.request_id
    assert record.request.expires_at == clock.now() + timedelta(seconds=100)
    clock.advance(100)
    record = await world.service.get(request_id)
    assert record.request.status is RequestStatus.APPROVED
    assert "request.unsafely_approved_by_timeout" in await world.events_about(request_id)
    token = await world.service.collect_token("agent-1", request_id)
    assert claims_of(world, token.token) == ("rule:unsafe timeout UnsafeAutoApproveOnTimeout",)
    plain = await submit(world, "print()", timeout=10)
    clock.advance(10)
    assert (await world.service.get(plain.request.request_id)).request.status is RequestStatus.TIMEOUT


async def test_silence_never_approves_what_anybody_denied_even_if_the_denial_is_deleted(
    world: World, clock: ManualClock
) -> None:
    world.policy.terms["unsafe"] = replace(UNSAFE, denials_to_end=2)  # type: ignore[index,union-attr]
    for delete in (False, True):
        record = await submit(world, f"unsafe {delete}")
        await world.service.decide(verdict(record, "alice", Verdict.DENY))
        if delete:
            await world.database.write(lambda connection: connection.execute(text("DELETE FROM decisions")))
        clock.advance(100)
        record = await world.service.get(record.request.request_id)
        assert record.request.status is RequestStatus.TIMEOUT


async def test_a_timeout_made_an_approval_in_the_database_gives_no_token(
    world: World, clock: ManualClock
) -> None:
    record = await submit(world, "unsafe", timeout=10)
    request_id = record.request.request_id
    statement = text(
        "UPDATE requests SET status = 'APPROVED', version = 2, valid_until = :at WHERE request_id = :id"
    )
    at = int((clock.now() + timedelta(days=1)).timestamp() * 1e6)
    await world.database.write(lambda connection: connection.execute(statement, {"id": request_id, "at": at}))
    with pytest.raises(SealBroken):
        await world.service.collect_token("agent-1", request_id)


async def test_several_requests_are_decided_in_one_go_each_by_its_own_digest(world: World) -> None:
    one, two, three = [await submit(world, f"print({number})") for number in range(3)]
    batch = BatchInput(
        person="alice",
        items=(
            BatchItem(one.request.request_id, one.request.action_digest, Verdict.APPROVE),
            BatchItem(two.request.request_id, one.request.action_digest, Verdict.APPROVE),
            BatchItem("req_unknown", one.request.action_digest, Verdict.APPROVE),
            BatchItem(three.request.request_id, three.request.action_digest, Verdict.DENY),
        ),
        reason="looked at all",
        channel="web",
        assurance=Assurance.SESSION,
    )
    outcome = await world.service.decide_batch(batch)
    decided = [each.record.request.status.value if each.record else None for each in outcome.results]
    assert decided == ["APPROVED", None, None, "DENIED"]
    assert [type(each.error).__name__ for each in outcome.results if each.error] == [
        "DigestChanged",
        "RequestNotFound",
    ]
    record = await world.service.get(one.request.request_id)
    assert record.decisions[0].evidence["batch"] == outcome.batch_id
    assert await world.service.collect_token("agent-1", one.request.request_id)


@pytest.mark.parametrize("count", [0, 101, 2])
async def test_an_empty_an_absurd_and_a_repeating_batch_are_refused(world: World, count: int) -> None:
    items = tuple(
        BatchItem("req_a" if count == 2 else f"req_{n}", "d", Verdict.APPROVE) for n in range(count)
    )
    with pytest.raises(InvalidSubmission, match="items"):
        await world.service.decide_batch(BatchInput("alice", items, None, "web", Assurance.SESSION))


async def test_revoked_tokens_are_listed_while_an_executor_might_still_take_them(
    world: World, clock: ManualClock
) -> None:
    start = clock.now()
    record = await world.approved(code="print(7)")
    request_id = record.request.request_id
    token = await world.service.collect_token("agent-1", request_id)
    assert await world.service.revoked_tokens(since=start) == []
    await world.service.revoke(request_id, person="bob", reason="changed my mind")
    (revoked,) = await world.service.revoked_tokens(since=start)
    assert (revoked.token_id, revoked.request_id) == (token.token_id, request_id)
    assert await world.service.revoked_tokens(since=clock.now() + timedelta(seconds=1)) == []
    clock.advance(3600)
    assert await world.service.revoked_tokens(since=start) == []
