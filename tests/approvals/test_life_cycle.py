"""The life of a request through the service, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hitl_contract.verify import verify_capability
from hitl_mcp.approvals.errors import (
    AlreadyDecided,
    AlreadyEnded,
    DigestChanged,
    NotApproved,
    NotEligible,
    RequestNotFound,
    Revoked,
)
from hitl_mcp.approvals.models import Assurance, RequestStatus, RiskLevel, Verdict
from hitl_mcp.policies.default import AskOneApprover
from tests.approvals.conftest import WorldFactory
from tests.approvals.world import AskSeveral, World, program, submission, verdict
from tests.conftest import ManualClock


async def test_a_submitted_request_is_stored_audited_and_announced_in_one_act(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    again = await world.service.get(record.request.request_id)
    assert again == record
    assert again.request.status is RequestStatus.PENDING
    assert await world.events_about(record.request.request_id) == ["request.created"]
    assert await world.notifications_about(record.request.request_id) == ["created"]


async def test_an_approved_request_gives_a_token_that_the_executor_accepts(
    world: World, clock: ManualClock
) -> None:
    record = await world.approved()
    assert record.request.status is RequestStatus.APPROVED
    issued = await world.service.collect_token("agent-1", record.request.request_id)
    verified = verify_capability(
        issued.token,
        program(),
        keys=world.keys.public_keys(),
        policy=world.verification,
        now=clock.now().timestamp(),
    )
    claims = verified.token.claims
    assert claims.token_id == issued.token_id
    assert claims.request_id == record.request.request_id
    assert [each.person for each in claims.approved_by] == ["alice"]
    assert await world.events_about(record.request.request_id) == [
        "request.created",
        "request.decided",
        "token.minted",
    ]


async def test_a_denial_ends_a_request_and_there_is_no_token(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    ended = await world.service.decide(verdict(record, "alice", Verdict.DENY, reason="no"))
    assert ended.request.status is RequestStatus.DENIED
    assert (ended.request.ended_by, ended.request.ended_reason) == ("alice", "no")
    with pytest.raises(NotApproved):
        await world.service.collect_token("agent-1", record.request.request_id)


@pytest.mark.parametrize("asker", ["agent-2", ""])
async def test_another_agent_neither_sees_a_request_nor_collects_its_token(world: World, asker: str) -> None:
    record = await world.approved("agent-1")
    with pytest.raises(RequestNotFound):
        await world.service.get_for_agent(asker, record.request.request_id)
    with pytest.raises(RequestNotFound):
        await world.service.collect_token(asker, record.request.request_id)
    assert await world.service.get_for_agent("agent-1", record.request.request_id) == record


async def test_an_unknown_request_is_not_found_by_any_way(world: World) -> None:
    service = world.service
    record = await service.submit("agent-1", submission())
    with pytest.raises(RequestNotFound):
        await service.get("req_unknown")
    with pytest.raises(RequestNotFound):
        await service.wait("req_unknown", 5)
    with pytest.raises(RequestNotFound):
        await service.decide(replace(verdict(record, "alice"), request_id="req_x"))
    with pytest.raises(RequestNotFound):
        await service.cancel("req_x", agent="agent-1", person=None, reason=None)
    with pytest.raises(RequestNotFound):
        await service.revoke("req_x", person="alice", reason=None)


async def test_a_quorum_of_two_needs_two_people_and_counts_a_double_click_once(
    database_world: WorldFactory,
) -> None:
    world = database_world(AskSeveral(2))
    record = await world.service.submit("agent-1", submission())
    once = await world.service.decide(verdict(record, "alice"))
    twice = await world.service.decide(verdict(record, "ALICE", channel="slack"))
    assert once == twice
    assert (once.request.status, once.received_approvals) == (RequestStatus.PENDING, 1)
    done = await world.service.decide(verdict(record, "bob"))
    assert done.request.status is RequestStatus.APPROVED
    assert await world.notifications_about(record.request.request_id) == ["created", "changed", "ended"]
    issued = await world.service.collect_token("agent-1", record.request.request_id)
    assert issued.token_id


async def test_one_denial_ends_a_request_that_another_approved(database_world: WorldFactory) -> None:
    world = database_world(AskSeveral(2))
    record = await world.service.submit("agent-1", submission())
    await world.service.decide(verdict(record, "alice"))
    ended = await world.service.decide(verdict(record, "bob", Verdict.DENY))
    assert ended.request.status is RequestStatus.DENIED
    assert await world.notifications_about(record.request.request_id) == ["created", "changed", "ended"]


async def test_a_person_cannot_turn_a_decision_around(database_world: WorldFactory) -> None:
    world = database_world(AskSeveral(2))
    record = await world.service.submit("agent-1", submission())
    await world.service.decide(verdict(record, "alice"))
    with pytest.raises(AlreadyDecided, match="alice"):
        await world.service.decide(verdict(record, "alice", Verdict.DENY))


async def test_a_decision_after_the_end_changes_nothing_and_names_who_ended_it(world: World) -> None:
    record = await world.approved()
    with pytest.raises(AlreadyEnded, match="APPROVED by alice") as caught:
        await world.service.decide(verdict(record, "bob", Verdict.DENY))
    assert caught.value.record == record == await world.service.get(record.request.request_id)
    assert (await world.events_about(record.request.request_id))[-1] == "request.decision_refused"


async def test_a_double_click_on_the_deciding_verdict_returns_the_same_record(world: World) -> None:
    record = await world.approved()
    assert await world.service.decide(verdict(record, "Alice")) == record


@pytest.mark.parametrize("person", ["mallory", "dave"])
async def test_who_is_not_eligible_decides_nothing_and_leaves_a_trace(world: World, person: str) -> None:
    record = await world.service.submit("agent-1", submission())
    with pytest.raises(NotEligible, match=person):
        await world.service.decide(verdict(record, person))
    assert (await world.service.get(record.request.request_id)).request.status is RequestStatus.PENDING
    assert (await world.events_about(record.request.request_id))[-1] == "request.decision_refused"


@pytest.mark.parametrize("agent", ["alice", "ALICE", "ａｌｉｃｅ"])
async def test_the_requester_does_not_decide_under_any_spelling(world: World, agent: str) -> None:
    record = await world.service.submit(agent, submission())
    with pytest.raises(NotEligible, match="Whoever asks"):
        await world.service.decide(verdict(record, "alice"))


async def test_a_decision_about_other_bytes_is_refused(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    with pytest.raises(DigestChanged):
        await world.service.decide(verdict(record, "alice", digest="sha-256:other"))
    assert (await world.service.get(record.request.request_id)).decisions == ()


@pytest.mark.parametrize("risk", [RiskLevel.HIGH, RiskLevel.CRITICAL])
async def test_a_chat_denies_but_does_not_approve_what_needs_a_session(
    database_world: WorldFactory, risk: RiskLevel
) -> None:
    world = database_world(AskOneApprover())
    record = await world.service.submit("agent-1", submission(risk=risk))
    with pytest.raises(NotEligible, match="Open its page"):
        await world.service.decide(verdict(record, "alice", channel="slack", assurance=Assurance.CHAT))
    denied = await world.service.decide(
        verdict(record, "alice", Verdict.DENY, channel="slack", assurance=Assurance.CHAT)
    )
    assert denied.request.status is RequestStatus.DENIED


@pytest.mark.parametrize("risk", [None, RiskLevel.LOW, RiskLevel.MEDIUM])
async def test_a_chat_approves_low_and_medium_risk(
    database_world: WorldFactory, risk: RiskLevel | None
) -> None:
    world = database_world(AskOneApprover())
    record = await world.service.submit("agent-1", submission(risk=risk))
    done = await world.service.decide(verdict(record, "alice", channel="slack", assurance=Assurance.CHAT))
    assert done.request.status is RequestStatus.APPROVED
    assert done.request.risk_level is (risk or RiskLevel.MEDIUM)


async def test_the_agent_cancels_its_own_pending_request_once(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    request_id = record.request.request_id
    with pytest.raises(RequestNotFound):
        await world.service.cancel(request_id, agent="agent-2", person=None, reason=None)
    ended = await world.service.cancel(request_id, agent="agent-1", person=None, reason="not needed")
    assert ended.request.status is RequestStatus.CANCELLED
    assert (ended.request.ended_by, ended.request.ended_reason) == ("agent-1", "not needed")
    assert await world.service.cancel(request_id, agent="agent-1", person=None, reason=None) == ended
    with pytest.raises(AlreadyEnded, match="CANCELLED by agent-1"):
        await world.service.decide(verdict(record, "alice"))
    assert await world.notifications_about(request_id) == ["created", "ended"]


async def test_a_person_cancels_and_a_stranger_does_not(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    request_id = record.request.request_id
    with pytest.raises(NotEligible):
        await world.service.cancel(request_id, agent=None, person="mallory", reason=None)
    ended = await world.service.cancel(request_id, agent=None, person="Alice", reason=None)
    assert ended.request.ended_by == "alice"
    with pytest.raises(AlreadyEnded):
        await world.service.cancel(request_id, agent="agent-1", person=None, reason=None)


@pytest.mark.parametrize(("agent", "person"), [(None, None), ("agent-1", "alice")])
async def test_a_cancel_names_exactly_one_canceller(
    world: World, agent: str | None, person: str | None
) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        await world.service.cancel("req_x", agent=agent, person=person, reason=None)


async def test_a_revoked_approval_gives_no_token_any_more(world: World) -> None:
    record = await world.approved()
    request_id = record.request.request_id
    await world.service.collect_token("agent-1", request_id)
    revoked = await world.service.revoke(request_id, person="bob", reason="changed my mind")
    assert revoked.request.revoked_at is not None
    assert await world.service.revoke(request_id, person="bob", reason=None) == revoked
    with pytest.raises(Revoked):
        await world.service.collect_token("agent-1", request_id)


async def test_only_an_approval_is_revoked_and_only_by_who_may_decide(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    with pytest.raises(NotApproved, match="PENDING"):
        await world.service.revoke(record.request.request_id, person="alice", reason=None)
    with pytest.raises(NotEligible):
        await world.service.revoke(record.request.request_id, person="mallory", reason=None)
