"""A grant approves what its words say, as often as they say, for as long as everything stays as it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.errors import (
    ApprovalError,
    ApprovalExpired,
    DigestChanged,
    NotApproved,
    NotEligible,
    Revoked,
    SealBroken,
)
from hitl_mcp.approvals.models import Assurance, RequestStatus, RiskLevel, Verdict
from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.approvals.terms import GroupQuorum, RuleVerdict, Stage, Terms
from hitl_mcp.errors import HitlError
from hitl_mcp.grants.errors import GrantNotAllowed, GrantRefused, UnknownGrant
from hitl_mcp.grants.forms import Confirmation
from tests.approvals.world import verdict
from tests.conftest import ManualClock
from tests.grants.scene import Rule, Scene

APPROVED, PENDING = RequestStatus.APPROVED, RequestStatus.PENDING
BOB = PersonRecord("bob", "bob", ("approver",))


async def test_what_a_grant_covers_is_approved_in_the_name_of_who_gave_it(scene: Scene) -> None:
    grant = await scene.grant()
    covered = await scene.ask(49)
    assert covered.request.status is APPROVED
    assert covered.request.policy == f"grant:{grant.grant_id}"
    assert "ada allowed this shape in advance" in covered.request.explanation
    assert await scene.world.notifications_about(covered.request.request_id) == []
    claims = jwt.decode(await scene.token(covered), options={"verify_signature": False})
    assert claims["approved_by"] == [{"person": "ada", "channel": "grant", "assurance": "session"}]
    _, uses = await scene.grants.get(grant.grant_id)
    assert [each.request_id for each in uses] == [covered.request.request_id]
    assert "request.approved_by_grant" in await scene.world.events_about(covered.request.request_id)


@pytest.mark.parametrize(
    "asked",
    [{"amount": 51}, {"amount": -1}, {"amount": "20"}, {"amount": True}, {"to": "acme2"}, {"agent": "other"}],
)
async def test_what_a_grant_does_not_cover_is_asked_about(scene: Scene, asked: dict[str, Any]) -> None:
    await scene.grant()
    fields: dict[str, Any] = {"amount": 21, **asked}
    assert (await scene.ask(**fields)).request.status is PENDING


async def test_a_grant_is_used_as_often_as_it_allows_and_no_more(scene: Scene) -> None:
    grant = await scene.grant(uses=2)
    statuses = [(await scene.ask(amount)).request.status for amount in (1, 2, 3)]
    assert statuses == [APPROVED, APPROVED, PENDING]
    assert (await scene.grants.list()) == []
    assert (await scene.grants.get(grant.grant_id))[0].remaining == 0


async def test_asking_again_for_the_same_uses_no_second_one(scene: Scene) -> None:
    grant = await scene.grant()
    first, second = await scene.ask(5), await scene.ask(5)
    assert first.request.request_id == second.request.request_id
    assert (await scene.grants.get(grant.grant_id))[0].used == 1


async def test_two_processes_racing_never_use_it_more_often_than_it_allows(scene: Scene) -> None:
    other = Scene(scene.database, scene.clock, scene.home)
    grant = await scene.grant(uses=4)
    asking = [(scene, other)[amount % 2].ask(amount) for amount in range(1, 13)]
    records = await asyncio.gather(*asking)
    approved = [each for each in records if each.request.status is APPROVED]
    assert len(approved) == 4
    assert (await other.grants.get(grant.grant_id))[0].used == 4
    for each in approved:
        assert await scene.token(each)


async def test_no_query_is_made_about_grants_while_an_agent_has_none(scene: Scene) -> None:
    await scene.ask(1)
    statements = await _statements(scene, 2)
    assert statements
    assert not [each for each in statements if "grant" in each]
    grant = await scene.grant(uses=1)
    await scene.ask(3)
    with pytest.raises(UnknownGrant):
        await scene.grants.revoke("grant_unknown", actor=BOB)
    assert grant.allowed == 1
    await scene.ask(4)
    assert not [each for each in await _statements(scene, 5) if "grant" in each]


async def test_a_denying_rule_is_never_overridden(scene: Scene) -> None:
    await scene.grant()
    scene.rule.verdict = RuleVerdict.DENY
    assert (await scene.ask(5)).request.status is RequestStatus.DENIED


@pytest.mark.parametrize(
    "changed",
    [
        Rule(name="other"),
        Rule(Terms(stages=(Stage((GroupQuorum(count=2),)),))),
        Rule(Terms(excluded=("ada",))),
        Rule(Terms(required_assurance=Assurance.SESSION)),
        Rule(Terms(minimum_review_seconds=5)),
        Rule(Terms(reason_required=True)),
    ],
)
async def test_a_changed_rule_ends_it(scene: Scene, changed: Rule) -> None:
    await scene.grant()
    scene.rule.name, scene.rule.terms = changed.name, changed.terms
    assert (await scene.ask(5)).request.status is PENDING


async def test_more_risk_than_its_ceiling_is_asked_about(scene: Scene) -> None:
    await scene.grant()
    assert (await scene.ask(5, risk=RiskLevel.HIGH)).request.status is PENDING
    assert (await scene.ask(6, risk=RiskLevel.CRITICAL)).request.status is PENDING
    assert (await scene.ask(7, risk=RiskLevel.MEDIUM)).request.status is APPROVED


async def test_it_ends_when_it_expires_and_so_does_what_it_approved(scene: Scene, clock: ManualClock) -> None:
    await scene.grant(expires_at=clock.now() + timedelta(minutes=10))
    covered = await scene.ask(5)
    clock.advance(601)
    with pytest.raises(ApprovalExpired):
        await scene.token(covered)
    assert (await scene.ask(6)).request.status is PENDING


async def test_revoking_it_ends_it_and_what_was_not_collected(scene: Scene) -> None:
    grant = await scene.grant()
    covered = await scene.ask(5)
    await scene.grants.revoke(grant.grant_id, actor=BOB)
    with pytest.raises(Revoked):
        await scene.token(covered)
    assert (await scene.ask(6)).request.status is PENDING
    with pytest.raises(UnknownGrant):
        await scene.grants.revoke(grant.grant_id, actor=BOB)


async def test_a_suspension_ends_it_for_good(scene: Scene) -> None:
    await scene.grant()
    covered = await scene.ask(5)
    await scene.people.suspend("ada")
    with pytest.raises((Revoked, NotEligible)):
        await scene.token(covered)
    await scene.people.reinstate("ada")
    with pytest.raises(Revoked):
        await scene.token(covered)
    assert (await scene.ask(6)).request.status is PENDING


async def test_whoever_may_decide_no_more_covers_nothing(scene: Scene) -> None:
    await scene.grant()
    covered = await scene.ask(5)
    await scene.people.set_roles("ada", [])
    with pytest.raises(NotEligible):
        await scene.token(covered)
    assert (await scene.ask(6)).request.status is PENDING


async def test_an_agent_that_was_revoked_loses_its_grants(scene: Scene) -> None:
    grant = await scene.grant()
    await scene.agents.revoke("payer")
    assert (await scene.grants.get(grant.grant_id))[0].revoked_at is not None


async def test_the_requester_never_gives_itself_a_grant(scene: Scene) -> None:
    with pytest.raises(GrantNotAllowed):
        await scene.grant(person="Payer")


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (Terms(stages=(Stage((GroupQuorum(count=2),)),)), GrantRefused),
        (Terms(stages=(Stage((GroupQuorum(),)), Stage((GroupQuorum(),)))), GrantRefused),
        (Terms(stages=(Stage((GroupQuorum("security"),)),)), GrantNotAllowed),
        (Terms(excluded=("Ada",)), GrantNotAllowed),
        (Terms(minimum_review_seconds=5), GrantRefused),
        (Terms(reason_required=True), GrantRefused),
    ],
)
async def test_what_one_person_cannot_approve_alone_and_at_once_is_not_granted(
    scene: Scene, terms: Terms, expected: type[HitlError]
) -> None:
    scene.rule.terms = terms
    with pytest.raises(expected):
        await scene.grant()


async def test_a_weak_channel_cannot_grant_what_needs_a_strong_one(scene: Scene) -> None:
    scene.rule.terms = Terms(required_assurance=Assurance.SESSION)
    with pytest.raises(GrantNotAllowed):
        await scene.grant(assurance=Assurance.CHAT)
    await scene.grant(assurance=Assurance.SESSION)
    assert (await scene.ask(5)).request.status is APPROVED


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": 0},
        {"uses": 1001},
        {"max_risk": RiskLevel.CRITICAL},
        {"expires_at": timedelta(days=31)},
        {"expires_at": timedelta(0)},
    ],
)
async def test_a_grant_has_a_count_an_end_and_a_ceiling(scene: Scene, wrong: dict[str, Any]) -> None:
    if isinstance(wrong.get("expires_at"), timedelta):
        wrong = {"expires_at": scene.clock.now() + wrong["expires_at"]}
    with pytest.raises(GrantRefused):
        await scene.grant(**wrong)


async def test_only_the_words_that_were_read_are_granted(scene: Scene) -> None:
    asked = await scene.ask()
    read = await scene.grants.preview(await scene.form(asked))
    assert "/arguments/amount: a whole number from 0 to 50" in read.wording
    assert "At most 3 times" in read.wording
    confirmation = Confirmation(read.wording_digest, "web", Assurance.SESSION)
    with pytest.raises(GrantRefused):
        await scene.grants.make(await scene.form(asked, uses=4), confirmation)
    with pytest.raises(DigestChanged):
        await scene.grants.preview(replace(await scene.form(asked), action_digest="sha-256:other"))


async def test_requests_that_people_are_not_asked_about_cannot_be_granted(scene: Scene) -> None:
    denied = await scene.service.decide(verdict(await scene.ask(1), "ada", given=Verdict.DENY))
    with pytest.raises(GrantRefused):
        await scene.grant(denied)
    await scene.grant()
    with pytest.raises(GrantRefused):
        await scene.grant(await scene.ask(5))


TRICKS = (
    "UPDATE grants SET allowed = 1000",
    "UPDATE grants SET used = 0",
    "UPDATE grants SET expires_at = expires_at + 1000000000000",
    "UPDATE grants SET max_risk = 'high'",
    "UPDATE grants SET agent = 'thief'",
    "UPDATE grants SET person = 'bob'",
    "UPDATE grants SET shape = replace(shape, '50', '5000')",
    "UPDATE grant_uses SET number = 1",
    "UPDATE grant_uses SET action_digest = 'sha-256:other'",
    "DELETE FROM grant_uses",
)


@pytest.mark.parametrize("trick", TRICKS)
async def test_a_writer_of_the_database_widens_no_grant(scene: Scene, trick: str) -> None:
    await scene.grant(uses=2)
    first, second = await scene.ask(1), await scene.ask(2)
    before = await _rows(scene, "SELECT request_id, number FROM grant_uses ORDER BY number")
    if "number = 1" in trick:
        trick = "UPDATE grant_uses SET number = number + 10"
    await _tamper(scene, trick)
    fresh = Scene(scene.database, scene.clock, scene.home)
    for each in (scene, fresh):
        assert (await each.ask(3)).request.status is PENDING
        assert (await each.ask(4000)).request.status is PENDING
        assert (await each.ask(3, agent="thief")).request.status is PENDING
        for record in (first, second):
            with pytest.raises(ApprovalError):
                await each.token(record)
    assert len(before) == 2


async def test_a_grant_set_back_to_an_earlier_row_covers_nothing(scene: Scene) -> None:
    await scene.grant(uses=1)
    [row] = await _rows(scene, "SELECT used, seal FROM grants")
    await scene.ask(1)
    await _tamper(scene, f"UPDATE grants SET used = {row[0]}, seal = '{row[1]}'")
    for each in (scene, Scene(scene.database, scene.clock, scene.home)):
        assert (await each.ask(2)).request.status is PENDING


async def test_a_request_that_only_says_that_a_grant_covers_it_gives_no_token(scene: Scene) -> None:
    grant = await scene.grant()
    pending = await scene.ask(5000)
    request_id = pending.request.request_id
    until = (scene.clock.now() + timedelta(hours=1)).timestamp() * 1_000_000
    await _tamper(
        scene,
        f"UPDATE requests SET status = 'APPROVED', policy = 'grant:{grant.grant_id}', "
        f"valid_until = {int(until)} WHERE request_id = '{request_id}'",
    )
    with pytest.raises(SealBroken):
        await scene.token(pending)


async def test_people_still_decide_what_no_grant_covers(scene: Scene) -> None:
    await scene.grant()
    asked = await scene.ask(500)
    with pytest.raises(NotApproved):
        await scene.token(asked)
    await scene.service.decide(verdict(asked, "bob"))
    assert await scene.token(asked)


async def _rows(scene: Scene, query: str) -> list[Any]:
    async def read(connection: AsyncConnection) -> list[Any]:
        return list((await connection.execute(text(query))).all())

    return await scene.database.read(read)


async def _tamper(scene: Scene, statement: str) -> None:
    async def write(connection: AsyncConnection) -> None:
        await connection.execute(text(statement))

    await scene.database.write(write)


async def _statements(scene: Scene, amount: int) -> list[str]:
    """What is sent to the database while one request is taken in."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await scene.ask(amount)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return seen
