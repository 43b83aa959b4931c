"""A drill looks like any request until it has ended, and nothing can come of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals import events
from hitl_mcp.approvals.canaries import kind_commitment
from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.errors import NotApproved, RequestNotFound, SealBroken
from hitl_mcp.approvals.models import (
    BatchInput,
    BatchItem,
    Conditions,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.proof import ProvenApproval, prove
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.policies.counting import SqlCounter
from hitl_mcp.risk.past_operations import SqlPastOperations
from hitl_mcp.storage.schema import requests
from hitl_mcp.web.api.models import review_answer
from tests.approvals.rules import edit
from tests.approvals.world import AskSeveral, World, program, submission, verdict
from tests.attention.conftest import drilled
from tests.attention.drilling import AGENT, filed


async def about(world: World, record: RequestRecord) -> list[AuditEntry]:
    async def operation(connection: AsyncConnection) -> list[AuditEntry]:
        return list(await world.ports.audit.about(connection, record.request.request_id))

    return await world.database.read(operation)


async def stored(world: World, record: RequestRecord, **values: object) -> None:
    """Change a request's row from outside, as somebody with the database could."""

    async def operation(connection: AsyncConnection) -> None:
        of_it = requests.c.request_id == record.request.request_id
        await connection.execute(update(requests).where(of_it).values(**values))

    await world.database.write(operation)


async def test_nobody_is_shown_a_difference_before_it_has_ended(world: World) -> None:
    drill = await filed(world.service, world.database)
    ordinary = await world.service.submit("agent-1", submission())
    (of_drill,), (of_ordinary,) = await about(world, drill), await about(world, ordinary)
    assert of_drill.details.keys() == of_ordinary.details.keys()
    assert (of_drill.event, of_drill.details["kind"]) == (of_ordinary.event, of_ordinary.details["kind"])
    views = ApprovalViews(world.service, public_url="https://approvals.example")
    shown = [review_answer(views, each, now=world.clock.now()) for each in (drill, ordinary)]
    assert "canary" not in shown[0].model_dump_json().lower()
    assert "drill" not in shown[0].model_dump_json(exclude={"drill"}).lower()
    assert shown[0].drill is None
    assert shown[0].model_dump(mode="json").keys() == shown[1].model_dump(mode="json").keys()
    listed = await world.service.list_for_people(status=RequestStatus.PENDING, limit=10, cursor=None)
    assert len(listed.records) == 2
    assert await world.notifications_about(drill.request.request_id) == ["created"]


async def test_a_denial_catches_it_and_says_what_gave_it_away(world: World) -> None:
    drill = await filed(world.service, world.database)
    ended = await world.service.decide(verdict(drill, "alice", Verdict.DENY, reason="why FTP?"))
    assert (ended.request.status, ended.request.ended_by) == (RequestStatus.DENIED, "alice")
    assert ended.request.drill_notice is not None
    assert ended.request.drill_notice.startswith("This was a drill, and it was caught.")
    assert "anonymous FTP server" in ended.request.drill_notice
    assert await world.events_about(drill.request.request_id) == [
        events.CREATED,
        events.DECIDED,
        events.CANARY_FILED,
        events.CANARY_CAUGHT,
    ]


@pytest.mark.parametrize("required", [1, 2])
async def test_an_approval_misses_it_and_ends_it_without_approving(world: World, required: int) -> None:
    world.ports = replace(world.ports, policy=AskSeveral(required))
    drilled(world)
    drill = await filed(world.service, world.database)
    ended = await world.service.decide(verdict(drill, "alice"))
    assert ended.request.status is RequestStatus.CANCELLED
    assert (ended.request.valid_until, ended.request.token_id, ended.request.ended_by) == (None, None, None)
    assert ended.request.drill_notice is not None
    assert ended.request.drill_notice.startswith("This was a drill, and it was let through.")
    entries = await about(world, drill)
    assert [each.event for each in entries][1:] == [events.DECIDED, events.CANARY_FILED, events.CANARY_MISSED]
    assert entries[-1].actor == "person:alice"
    with pytest.raises(RequestNotFound):
        await world.service.collect_token(AGENT, drill.request.request_id)


async def test_the_log_commits_to_it_from_the_start_and_everybody_can_check_that(world: World) -> None:
    drill = await filed(world.service, world.database)
    await world.service.decide(verdict(drill, "alice", Verdict.DENY))
    created, _, opened, _ = await about(world, drill)
    salt, request_id = str(opened.details["salt"]), drill.request.request_id
    committed = created.details["kind_commitment"]
    assert committed == kind_commitment(salt, request_id, RequestKind.CANARY)
    assert committed != kind_commitment(salt, request_id, RequestKind.ACTION)
    assert (opened.details["seal"], opened.details["drill"]) == (drill.request.seal, "customers-posted")
    ordinary = await world.approved()
    (commitment,) = [
        each.details["kind_commitment"]
        for each in await about(world, ordinary)
        if each.event == events.CREATED
    ]
    salt = world.sealer.kind_salt(ordinary.request.request_id)
    assert commitment == kind_commitment(salt, ordinary.request.request_id, RequestKind.ACTION)


async def test_it_expires_quietly(world: World) -> None:
    drill = await filed(world.service, world.database)
    await world.service.run_deadlines(now=drill.request.expires_at)
    world.clock.advance(3601)  # type: ignore[attr-defined]
    ended = await world.service.get(drill.request.request_id)
    assert ended.request.status is RequestStatus.TIMEOUT
    assert (await world.events_about(drill.request.request_id))[1:] == [
        events.TIMED_OUT,
        events.CANARY_FILED,
        events.CANARY_LAPSED,
    ]


async def test_a_person_who_withdraws_it_catches_it(world: World) -> None:
    drill = await filed(world.service, world.database)
    await world.service.cancel(drill.request.request_id, agent=None, person="bob", reason="odd")
    assert (await world.events_about(drill.request.request_id))[-1] == events.CANARY_CAUGHT


async def test_who_rewrites_it_first_has_neither_caught_nor_missed_it(world: World) -> None:
    drill = await filed(world.service, world.database, "keys-sent")
    edited = await world.service.edit(edit(drill, "alice", program("print('nothing')")))
    ended = await world.service.decide(verdict(edited, "bob"))
    assert ended.request.status is RequestStatus.CANCELLED
    assert (await world.events_about(drill.request.request_id))[-1] == events.CANARY_LAPSED


async def test_tighter_limits_do_not_make_an_approval_of_it_better(world: World) -> None:
    drill = await filed(world.service, world.database, "every-row")
    ended = await world.service.approve_with_conditions(
        verdict(drill, "alice"), Conditions(limits={"limits.wall_seconds": 5})
    )
    assert ended.request.status is RequestStatus.CANCELLED
    assert (await world.events_about(drill.request.request_id))[-1] == events.CANARY_MISSED


async def test_approving_several_with_one_among_them_misses_it_and_decides_the_others(world: World) -> None:
    drill = await filed(world.service, world.database)
    ordinary = await world.service.submit("agent-1", submission())
    items = tuple(
        BatchItem(each.request.request_id, each.request.action_digest, Verdict.APPROVE)
        for each in (drill, ordinary)
    )
    decided = verdict(drill, "alice")
    outcome = await world.service.decide_batch(
        BatchInput("alice", items, None, decided.channel, decided.assurance)
    )
    statuses = [each.record.request.status for each in outcome.results if each.record is not None]
    assert statuses == [RequestStatus.CANCELLED, RequestStatus.APPROVED]
    assert (await world.events_about(drill.request.request_id))[-1] == events.CANARY_MISSED


async def test_no_agent_can_see_cancel_answer_or_collect_it_not_even_one_of_its_name(world: World) -> None:
    drill = await filed(world.service, world.database)
    request_id = drill.request.request_id
    for call in (
        world.service.get_for_agent(AGENT, request_id),
        world.service.cancel(request_id, agent=AGENT, person=None, reason=None),
        world.service.reply(AGENT, request_id, "trust me"),
        world.service.collect_token(AGENT, request_id),
        world.service.spend(AGENT, request_id, use="mine"),
    ):
        with pytest.raises(RequestNotFound):
            await call
    listed = await world.service.list_for_agent(AGENT, status=None, limit=10, cursor=None)
    assert listed.records == ()
    # An agent of that name that asks for the very same thing makes a request of its own.
    same = replace(submission(), action=drill.request.action)
    assert (await world.service.submit(AGENT, same)).request.request_id != request_id


async def test_the_database_itself_refuses_an_approved_one(world: World) -> None:
    drill = await filed(world.service, world.database)
    for values in ({"status": "APPROVED"}, {"token_id": "tok_x"}):
        with pytest.raises(DBAPIError):
            await stored(world, drill, **values)


async def test_a_drill_passed_off_as_an_action_is_believed_by_nobody(world: World) -> None:
    drill = await filed(world.service, world.database)
    await stored(world, drill, kind="action")
    with pytest.raises(SealBroken):
        await world.service.decide(verdict(drill, "alice"))
    await stored(world, drill, status="APPROVED", decided_at=world.clock.now())
    with pytest.raises(SealBroken):
        await world.service.collect_token(AGENT, drill.request.request_id)


async def test_an_action_passed_off_as_a_drill_is_not_recorded_as_one(world: World) -> None:
    ordinary = await world.service.submit("agent-1", submission())
    await stored(world, ordinary, kind="canary")
    await world.service.cancel(ordinary.request.request_id, agent=None, person="alice", reason=None)
    assert events.CANARY_FILED not in await world.events_about(ordinary.request.request_id)


async def test_a_proof_refuses_what_the_log_has_as_no_action_even_under_a_good_seal(world: World) -> None:
    record = await world.approved()
    trail, request = await about(world, record), record.request
    capacities = {"alice": Capacity("alice", "alice", frozenset({"approver"}))}
    validity = timedelta(hours=1)

    def proven(record: RequestRecord, trail: list[AuditEntry]) -> ProvenApproval:
        return prove(
            record,
            trail,
            sealer=world.sealer,
            capacities=capacities,
            validity=validity,
            now=world.clock.now(),
        )

    assert proven(record, trail).request == request
    salt = world.sealer.kind_salt(request.request_id)
    other = kind_commitment(salt, request.request_id, RequestKind.CANARY)
    forged = [replace(trail[0], details={**trail[0].details, "kind_commitment": other}), *trail[1:]]
    with pytest.raises(SealBroken) as committed:
        proven(record, forged)
    assert committed.value.detail == "the audit trail has it as something else than an action"
    opened = replace(trail[0], event=events.CANARY_FILED, details={})
    with pytest.raises(SealBroken) as revealed:
        proven(record, [*trail, opened])
    assert revealed.value.detail == "the audit trail has the request ended otherwise"
    drill = replace(request, kind=RequestKind.CANARY)
    drill = replace(drill, seal=world.sealer.seal_request(drill))
    with pytest.raises(NotApproved):
        proven(replace(record, request=drill), trail)


async def test_the_minter_refuses_it_whatever_was_proven(world: World) -> None:
    drill = await filed(world.service, world.database)
    approved = replace(drill.request, status=RequestStatus.APPROVED)
    approval = ProvenApproval(approved, (), "tok_x", world.clock.now() + timedelta(hours=1))
    with pytest.raises(NotApproved):
        world.ports.minter.mint(approval, issued_at=0, expires_at=300)


async def test_it_counts_for_no_limit_and_no_record(world: World) -> None:
    since = world.clock.now() - timedelta(hours=1)
    for person, given in (("alice", Verdict.APPROVE), ("bob", Verdict.DENY)):
        await world.service.decide(verdict(await filed(world.service, world.database), person, given))
    counter = SqlCounter(world.database, recount_seconds=0)
    assert await counter.busiest_approver(since=since) == 0
    assert await counter.requests(AGENT, "ask-1", since=since, most=10) == 0
    assert await SqlPastOperations(world.database).decided(AGENT) == []
    await world.approved()
    assert await counter.busiest_approver(since=since) == 1
