"""Questions to people: who may answer what, that one answer ends it, and that it approves nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from hitl_contract.action import parse_action
from hitl_contract.display import render_action
from hitl_mcp.approvals import events
from hitl_mcp.approvals.dialogue import AnswerInput
from hitl_mcp.approvals.errors import (
    AlreadyEnded,
    DigestChanged,
    EditRefused,
    InvalidAnswer,
    InvalidSubmission,
    NotApproved,
    NotEligible,
    SealBroken,
    WrongKind,
)
from hitl_mcp.approvals.human_questions import HumanQuestion, check_question
from hitl_mcp.approvals.models import (
    Assurance,
    Conditions,
    EditInput,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Submission,
    Verdict,
)
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RuleVerdict, Ruling, Terms
from tests.approvals.conftest import WorldFactory
from tests.approvals.world import World, program, submission, verdict
from tests.conftest import ManualClock

COLOURS = HumanQuestion("Which colour?", ("red", "blue"))
DEPLOY = HumanQuestion(
    "Where to?",
    answer_schema={
        "type": "object",
        "properties": {
            "host": {"type": "string", "minLength": 1},
            "port": {"type": "integer", "maximum": 65535},
        },
        "required": ["host"],
        "additionalProperties": False,
    },
)


def given(record: RequestRecord, answer: Any, person: str = "alice", **changes: Any) -> AnswerInput:
    made = AnswerInput(
        request_id=record.request.request_id,
        person=person,
        answer=answer,
        channel="web",
        assurance=Assurance.SESSION,
        action_digest=record.request.action_digest,
        evidence={"session": "s-1"},
    )
    return replace(made, **changes)


async def altered(world: World, statement: str, **values: object) -> None:
    async def operation(connection: Any) -> None:
        changed = await connection.execute(text(statement), values)
        assert changed.rowcount == 1

    await world.database.write(operation)


async def test_an_answer_ends_a_question_sealed_audited_and_told(world: World) -> None:
    asked = await world.service.ask_human("agent-1", COLOURS)
    assert (asked.request.kind, asked.request.status) == (RequestKind.QUESTION, RequestStatus.PENDING)
    assert asked.request.display_digest == render_action(asked.request.action).digest
    record = await world.service.answer(given(asked, "blue"))
    assert record.request.status is RequestStatus.ANSWERED
    assert record == await world.service.get(asked.request.request_id)
    assert record.answer is not None
    assert (record.answer.answer, record.answer.person) == ('"blue"', "alice")
    assert world.sealer.answer_holds(record.answer)
    assert await world.events_about(record.request.request_id) == [events.CREATED, events.ANSWERED]
    assert await world.notifications_about(record.request.request_id) == ["created", "ended"]


async def test_every_kind_of_answer_is_checked_against_what_was_asked(world: World) -> None:
    colours = await world.service.ask_human("agent-1", COLOURS)
    deploy = await world.service.ask_human("agent-1", DEPLOY)
    free = await world.service.ask_human("agent-1", HumanQuestion("Why?"))
    for record, wrong in (
        (colours, "green"),
        (colours, 1),
        (colours, None),
        (deploy, {"port": 1}),
        (deploy, {"host": "a", "port": 70000}),
        (deploy, {"host": "a", "extra": 1}),
        (deploy, "a"),
        (free, " "),
        (free, {"not": "text"}),
        (free, "x" * 20_000),
        (free, "a\x00b"),
    ):
        with pytest.raises(InvalidAnswer):
            await world.service.answer(given(record, wrong))
        assert (await world.service.get(record.request.request_id)).request.status is RequestStatus.PENDING
    with pytest.raises(InvalidAnswer) as caught:
        await world.service.answer(given(deploy, {"host": "a", "port": "80"}))
    assert [problem.field for problem in caught.value.problems] == ["answer.port"]
    await world.service.answer(given(deploy, {"port": 80, "host": "a"}))
    await world.service.answer(given(free, "because"))


async def test_only_who_may_decide_may_answer_and_only_what_they_saw(world: World) -> None:
    asked = await world.service.ask_human("alice", COLOURS)
    for person in ("mallory", "alice", "ALICE"):
        with pytest.raises(NotEligible):
            await world.service.answer(given(asked, "red", person))
    with pytest.raises(DigestChanged):
        await world.service.answer(given(asked, "red", "bob", action_digest="sha-256:other"))
    written = await world.service.ask_human("alice", HumanQuestion("Which colour, and why?"))
    with pytest.raises(NotEligible):
        await world.service.answer(given(written, "red", "bob", assurance=Assurance.CHAT))
    assert (await world.events_about(written.request.request_id)).count(events.ANSWER_REFUSED) == 1
    assert (await world.service.get(asked.request.request_id)).request.status is RequestStatus.PENDING
    assert (await world.events_about(asked.request.request_id)).count(events.ANSWER_REFUSED) == 4


async def test_of_two_people_who_answer_at_once_one_wins_and_the_other_is_told(world: World) -> None:
    asked = await world.service.ask_human("agent-1", COLOURS)
    outcomes = await asyncio.gather(
        world.service.answer(given(asked, "red", "alice")),
        world.service.answer(given(asked, "blue", "bob")),
        return_exceptions=True,
    )
    won = [each for each in outcomes if isinstance(each, RequestRecord)]
    lost = [each for each in outcomes if isinstance(each, AlreadyEnded)]
    assert (len(won), len(lost)) == (1, 1)
    assert won[0].answer is not None
    assert won[0].answer.person in str(lost[0])
    again = await world.service.get(asked.request.request_id)
    assert again.answer == won[0].answer
    assert await world.count("answers") == 1


async def test_the_same_answer_again_changes_nothing_and_another_is_refused(world: World) -> None:
    asked = await world.service.ask_human("agent-1", COLOURS)
    first = await world.service.answer(given(asked, "red"))
    assert await world.service.answer(given(asked, "red", "ALICE")) == first
    for answer, person in (("blue", "alice"), ("red", "bob")):
        with pytest.raises(AlreadyEnded):
            await world.service.answer(given(asked, answer, person))


async def test_a_question_is_declined_cancelled_or_times_out_without_an_answer(
    world: World, clock: ManualClock
) -> None:
    declined = await world.service.ask_human("agent-1", COLOURS)
    record = await world.service.decide(verdict(declined, "alice", Verdict.DENY, reason="none of these"))
    assert (record.request.status, record.answer) == (RequestStatus.DENIED, None)
    cancelled = await world.service.ask_human("agent-1", COLOURS)
    assert cancelled.request.request_id != declined.request.request_id
    await world.service.cancel(cancelled.request.request_id, agent="agent-1", person=None, reason=None)
    silent = await world.service.ask_human("agent-1", COLOURS, timeout_seconds=60)
    clock.advance(60)
    with pytest.raises(AlreadyEnded):
        await world.service.answer(given(silent, "red"))
    record = await world.service.get(silent.request.request_id)
    assert (record.request.status, record.answer) == (RequestStatus.TIMEOUT, None)


async def test_the_same_question_again_while_pending_is_the_same_one(world: World) -> None:
    first = await world.service.ask_human("agent-1", COLOURS)
    assert (await world.service.ask_human("agent-1", COLOURS)).request == first.request
    other = await world.service.ask_human("agent-2", COLOURS)
    assert other.request.request_id != first.request.request_id
    assert await world.notifications_about(first.request.request_id) == ["created"]


async def test_a_question_is_never_approved_edited_or_minted(world: World) -> None:
    asked = await world.service.ask_human("agent-1", COLOURS)
    with pytest.raises(WrongKind):
        await world.service.decide(verdict(asked, "alice"))
    with pytest.raises((EditRefused, WrongKind, InvalidSubmission)):
        await world.service.approve_with_conditions(
            verdict(asked, "alice"), Conditions(limits={"network.mode": "none"})
        )
    edit = EditInput(
        asked.request.request_id,
        "alice",
        program(),
        None,
        "web",
        Assurance.SESSION,
        asked.request.action_digest,
    )
    with pytest.raises(EditRefused):
        await world.service.edit(edit)
    await world.service.answer(given(asked, "red"))
    with pytest.raises(NotApproved):
        await world.service.collect_token("agent-1", asked.request.request_id)
    with pytest.raises(NotApproved):
        await world.service.revoke(asked.request.request_id, person="alice", reason=None)


async def test_a_database_writer_gets_no_token_out_of_an_answered_question(world: World) -> None:
    asked = await world.service.ask_human("agent-1", COLOURS)
    await world.service.answer(given(asked, "red"))
    name = asked.request.request_id
    await altered(world, "UPDATE requests SET status = 'APPROVED' WHERE request_id = :id", id=name)
    with pytest.raises(NotApproved):
        await world.service.collect_token("agent-1", name)
    await altered(world, "UPDATE requests SET kind = 'action' WHERE request_id = :id", id=name)
    with pytest.raises(SealBroken):
        await world.service.collect_token("agent-1", name)


async def test_an_answer_changed_in_the_database_is_not_believed(world: World) -> None:
    asked = await world.service.ask_human("agent-1", COLOURS)
    other = await world.service.ask_human("agent-1", HumanQuestion("Really?"))
    await world.service.answer(given(asked, "red"))
    await world.service.answer(given(other, "no", "bob"))
    name = asked.request.request_id
    true = await world.service.get(name)
    assert world.service.answer_proven(true)
    assert true.answer is not None
    foreign = (await world.service.get(other.request.request_id)).answer
    assert not world.service.answer_proven(replace(true, answer=foreign))
    for column, value, before in (
        ("answer", '"blue"', true.answer.answer),
        ("person", "bob", "alice"),
        ("channel", "cli", "web"),
        ("assurance", "chat", "session"),
        ("evidence", "{}", '{"session":"s-1"}'),
    ):
        statement = f"UPDATE answers SET {column} = :value WHERE request_id = :id"
        await altered(world, statement, value=value, id=name)
        assert not world.service.answer_proven(await world.service.get(name)), column
        await altered(world, statement, value=before, id=name)
    assert world.service.answer_proven(await world.service.get(name))
    pending = await world.service.ask_human("agent-1", COLOURS)
    await altered(
        world, "UPDATE requests SET status = 'ANSWERED' WHERE request_id = :id", id=pending.request.request_id
    )
    await altered(
        world,
        "UPDATE answers SET request_id = :new WHERE request_id = :id",
        new=pending.request.request_id,
        id=name,
    )
    assert not world.service.answer_proven(await world.service.get(pending.request.request_id))


async def test_a_question_whose_choices_were_changed_is_not_answered(world: World) -> None:
    asked = await world.service.ask_human("agent-1", COLOURS)
    other = await world.service.ask_human("agent-1", HumanQuestion("Which colour?", ("red", "all of them")))
    await altered(
        world,
        "UPDATE requests SET action_digest = :digest, attachable_digest = NULL WHERE request_id = :id",
        digest=other.request.action_digest,
        id=asked.request.request_id,
    )
    with pytest.raises(SealBroken):
        await world.service.answer(given(asked, "red", action_digest=other.request.action_digest))


async def test_no_rule_answers_or_allows_a_question(database_world: WorldFactory) -> None:
    class AllowAll:
        async def evaluate(self, agent: AgentFacts, asked: Submission, risk: RiskAssessment) -> Ruling:
            return Ruling("allow-all", RuleVerdict.ALLOW, risk, Terms(stages=()))

    world = database_world(AllowAll())
    asked = await world.service.ask_human("agent-1", COLOURS)
    assert asked.request.status is RequestStatus.PENDING
    assert asked.request.policy == "ask-human"


async def test_an_action_is_not_answered_and_no_request_poses_as_a_question(world: World) -> None:
    asked = await world.service.submit("agent-1", submission())
    with pytest.raises(WrongKind):
        await world.service.answer(given(asked, "red"))
    posing = parse_action({"type": "generic", "operation": "ask_human", "details": {"question": "Well?"}})
    with pytest.raises(InvalidSubmission, match="ask_human"):
        await world.service.submit("agent-1", Submission(posing, "to pose"))


@pytest.mark.parametrize(
    "question",
    [
        HumanQuestion(" "),
        HumanQuestion("x" * 4001),
        HumanQuestion("a\x00"),
        HumanQuestion("a", ("b", "b")),
        HumanQuestion("a", ("b", " ")),
        HumanQuestion("a", tuple(map(str, range(21)))),
        HumanQuestion("a", ("b",), {"type": "string"}),
        HumanQuestion("a", answer_schema={"$ref": "https://example.com/schema.json"}),
        HumanQuestion("a", answer_schema={"type": "string", "pattern": "(a+)+$"}),
        HumanQuestion("a", answer_schema={"type": "object", "patternProperties": {"(a+)+$": {}}}),
        HumanQuestion("a", answer_schema={"type": "text"}),
        HumanQuestion("a", answer_schema={"type": "string", "unheard-of": 1}),
        HumanQuestion("a", answer_schema={"$schema": "http://json-schema.org/draft-07/schema#"}),
        HumanQuestion("a", answer_schema={"type": "string", "description": "x" * 9000}),
        HumanQuestion("a", answer_schema={"properties": {"p": {"items": {"pattern": "x"}}}}),
    ],
)
def test_a_question_outside_its_bounds_is_refused(question: HumanQuestion) -> None:
    with pytest.raises(InvalidSubmission):
        check_question(question)


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(6):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidSubmission, match="deeper"):
        check_question(HumanQuestion("a", answer_schema=schema))
