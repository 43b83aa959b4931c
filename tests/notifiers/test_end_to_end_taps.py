"""Request, card, tap, minted token, card closed: over real HTTP, from both chats. And the refused taps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from hitl_contract.verify import verify_capability
from hitl_mcp.approvals.errors import NotApproved
from hitl_mcp.approvals.models import RequestRecord, RequestStatus, RiskLevel, Verdict
from hitl_mcp.notifiers.card_store import CardState
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from tests.approvals.world import AskSeveral, create_schema, program, verdict
from tests.notifiers.channels import Chat, Console, open_channel
from tests.notifiers.desk import Desk

ANNA, BEN, STRANGER = 4711, 4712, 666


@dataclass
class Scene:
    desk: Desk
    chat: Chat

    async def asked(self, code: str = "print(6 * 7)", **how: object) -> str:
        record = await self.desk.ask(code, **how)  # type: ignore[arg-type]
        await self.chat.wait_for_card(record.request.request_id)
        await self.desk.card(record.request.request_id, self.chat.name, CardState.OPEN)
        return record.request.request_id

    async def closed(self, request_id: str) -> str:
        await self.desk.card(request_id, self.chat.name, CardState.CLOSED)
        assert self.chat.buttons(request_id) == []
        return self.chat.shown(request_id)[-1]

    async def still_pending(self, request_id: str) -> RequestRecord:
        record = await self.desk.service.get(request_id)
        assert record.request.status is RequestStatus.PENDING
        assert record.decisions == ()
        with pytest.raises(NotApproved):
            await self.desk.service.collect_token(record.request.agent, request_id)
        return record


@pytest_asyncio.fixture(params=["slack", "telegram"])
async def chat(request: pytest.FixtureRequest) -> AsyncIterator[Chat]:
    async with open_channel(request.param) as channel:
        yield cast("Chat", channel)


@pytest_asyncio.fixture
async def scene(chat: Chat, sqlite: Database, tmp_path: Path) -> AsyncIterator[Scene]:
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    for name, user in (("anna", ANNA), ("ben", BEN)):
        await desk.people.add(name, None)
        await desk.people.link(chat.name, chat.account(user), name)
    async with desk.dispatching():
        yield Scene(desk, chat)


async def test_a_tap_on_approve_mints_a_token_and_closes_the_card(scene: Scene) -> None:
    request_id = await scene.asked()
    assert scene.chat.buttons(request_id)[0] == "Approve"
    await scene.chat.press(request_id, "Approve", ANNA)
    assert (await scene.desk.ended(request_id)).request.status is RequestStatus.APPROVED
    issued = await scene.desk.service.collect_token("agent-1", request_id)
    verified = verify_capability(
        issued.token,
        program("print(6 * 7)"),
        keys=scene.desk.world.keys.public_keys(),
        policy=scene.desk.world.verification,
        now=SystemClock().now().timestamp(),
    )
    (approver,) = verified.token.claims.approved_by
    assert (approver.person, approver.channel, approver.assurance) == ("anna", scene.chat.name, "chat")
    assert "Approved by anna" in await scene.closed(request_id)


async def test_a_tap_on_deny_ends_the_request_and_closes_the_card(scene: Scene) -> None:
    request_id = await scene.asked()
    await scene.chat.press(request_id, "Deny", BEN)
    ended = await scene.desk.ended(request_id)
    assert ended.request.status is RequestStatus.DENIED
    shown = await scene.closed(request_id)
    assert "Denied by ben" in shown
    if scene.chat.name == "slack":
        assert ended.decisions[0].reason == "not today"
        assert "not today" in shown


async def test_the_decision_carries_the_digest_that_the_card_showed_and_who_pressed(scene: Scene) -> None:
    request_id = await scene.asked()
    await scene.chat.press(request_id, "Approve", ANNA)
    (decision,) = (await scene.desk.ended(request_id)).decisions
    assert decision.action_digest in scene.chat.shown(request_id)[-1]
    assert decision.evidence["account"] == scene.chat.account(ANNA)
    assert decision.evidence["callback"]


@pytest.mark.parametrize("button", ["Approve", "Deny"])
async def test_a_tap_by_an_unmapped_user_decides_nothing_and_is_audited(scene: Scene, button: str) -> None:
    request_id = await scene.asked()
    assert "not linked" in await scene.chat.press(request_id, button, STRANGER)
    await scene.still_pending(request_id)
    assert "unknown_account" in await scene.desk.refusals_about("unknown")


@pytest.mark.parametrize("agent", ["anna", "ANNA", "ａnna"])
async def test_a_tap_by_the_requester_decides_nothing_and_is_audited(scene: Scene, agent: str) -> None:
    request_id = await scene.asked(agent=agent)
    assert "Somebody else" in await scene.chat.press(request_id, "Approve", ANNA)
    await scene.still_pending(request_id)
    assert "NotEligible" in await scene.desk.refusals_about(request_id)


async def test_a_second_tap_decides_nothing_and_says_who_decided(scene: Scene) -> None:
    request_id = await scene.asked()
    nonce = scene.chat.nonce(request_id)
    await scene.chat.press(request_id, "Approve", ANNA)
    await scene.desk.ended(request_id)
    for user in (ANNA, BEN):
        answer = await scene.chat.forge(request_id, nonce, "deny", user)
        assert "Approved by anna" in answer
    record = await scene.desk.service.get(request_id)
    assert record.request.status is RequestStatus.APPROVED
    assert len(record.decisions) == 1
    assert await scene.desk.refusals_about(request_id) == ["ended", "ended"]


async def test_the_same_press_delivered_twice_is_handled_once(scene: Scene) -> None:
    request_id = await scene.asked()
    await scene.chat.press(request_id, "Approve", ANNA)
    await scene.desk.ended(request_id)
    await scene.chat.repeat_last()
    another = await scene.asked("print('next')")
    await scene.chat.press(another, "Approve", ANNA)
    await scene.desk.ended(another)
    assert await scene.desk.refusals_about("unknown") == ["repeated"]


async def test_a_tap_after_the_agent_cancelled_decides_nothing(scene: Scene) -> None:
    request_id = await scene.asked()
    nonce = scene.chat.nonce(request_id)
    await scene.desk.service.cancel(request_id, agent="agent-1", person=None, reason="no longer needed")
    assert "Cancelled" in await scene.closed(request_id)
    answer = await scene.chat.forge(request_id, nonce, "approve", ANNA)
    assert "has ended" in answer
    assert (await scene.desk.service.get(request_id)).decisions == ()
    assert "ended" in await scene.desk.refusals_about(request_id)


@pytest.mark.parametrize(
    "forged", ["", "n" * 43, "A" * 44, "'; DROP TABLE cards; --", "req_mzxw6ytboi4hk3dq"]
)
async def test_a_forged_callback_decides_nothing_and_is_audited(scene: Scene, forged: str) -> None:
    request_id = await scene.asked()
    assert "not current" in await scene.chat.forge(request_id, forged, "approve", ANNA)
    await scene.still_pending(request_id)
    assert "unknown_card" in await scene.desk.refusals_about("unknown")


async def test_a_card_row_moved_to_another_request_turns_no_tap_into_its_approval(scene: Scene) -> None:
    shown, wanted = await scene.asked("print('harmless')"), await scene.asked("print('harmful')")
    nonce = scene.chat.nonce(shown)

    async def swap(connection):  # type: ignore[no-untyped-def]
        from sqlalchemy import text

        await connection.execute(text("UPDATE cards SET nonce = 'free' WHERE request_id = :r"), {"r": shown})
        await connection.execute(
            text("UPDATE cards SET nonce = :n WHERE request_id = :r"), {"n": nonce, "r": wanted}
        )

    await scene.desk.database.write(swap)
    assert "not current" in await scene.chat.forge(shown, nonce, "approve", ANNA)
    await scene.still_pending(shown)
    await scene.still_pending(wanted)


async def test_approve_is_refused_where_the_card_did_not_offer_it(scene: Scene) -> None:
    for how in ({"risk": RiskLevel.HIGH}, {"code": "x = 1\n" * 5_000}):
        request_id = await scene.asked(**how)
        assert "Approve" not in scene.chat.buttons(request_id)
        answer = await scene.chat.forge(request_id, scene.chat.nonce(request_id), "approve", ANNA)
        assert "review page" in answer
        await scene.still_pending(request_id)
        assert "approve_not_offered" in await scene.desk.refusals_about(request_id)


async def test_high_risk_may_be_denied_in_a_chat(scene: Scene) -> None:
    request_id = await scene.asked(risk=RiskLevel.CRITICAL)
    await scene.chat.press(request_id, "Deny", ANNA)
    assert (await scene.desk.ended(request_id)).request.status is RequestStatus.DENIED


async def test_a_suspended_person_decides_nothing(scene: Scene) -> None:
    request_id = await scene.asked()
    await scene.desk.people.suspend("anna")
    assert "not linked" in await scene.chat.press(request_id, "Approve", ANNA)
    await scene.still_pending(request_id)


async def test_poisoned_updates_do_not_stop_later_taps(
    chat: Chat, database: Database, tmp_path: Path
) -> None:
    await create_schema(database)
    desk = Desk(database, tmp_path, [chat.notifier])
    await desk.people.add("anna", None)
    await desk.people.link(chat.name, chat.account(ANNA), "anna")
    async with desk.dispatching():
        scene = Scene(desk, chat)
        request_id = await scene.asked()
        await chat.poison(ANNA)
        await chat.press(request_id, "Approve", ANNA)
        assert (await desk.ended(request_id)).request.status is RequestStatus.APPROVED


async def test_a_time_limit_that_passes_closes_the_card_and_a_tap_after_it_decides_nothing(
    scene: Scene,
) -> None:
    request_id = await scene.asked(timeout=10)
    nonce = scene.chat.nonce(request_id)
    scene.desk.clock.advance(11)
    assert "Not answered in time" in await scene.closed(request_id)
    assert (await scene.desk.service.get(request_id)).request.status is RequestStatus.TIMEOUT
    assert "has ended" in await scene.chat.forge(request_id, nonce, "approve", ANNA)


async def test_a_decision_made_elsewhere_closes_every_card_within_a_second(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("slack") as slack, open_channel("telegram") as telegram:
        console = Console()
        channels = (slack, telegram, console)
        desk = Desk(sqlite, tmp_path, [channel.notifier for channel in channels])
        await desk.people.add("anna", None)
        async with desk.dispatching():
            record = await desk.ask()
            request_id = record.request.request_id
            for channel in channels:
                await desk.card(request_id, channel.name, CardState.OPEN)
            started = SystemClock().now()
            await desk.service.decide(verdict(record, "anna", Verdict.DENY, reason="from the page"))
            for channel in channels:
                await desk.card(request_id, channel.name, CardState.CLOSED)
                assert "Denied by anna" in channel.shown(request_id)[-1]
                assert channel.buttons(request_id) == []
            assert (SystemClock().now() - started).total_seconds() < 1


async def test_two_approvers_on_two_chats_make_a_quorum_and_each_card_shows_the_progress(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("slack") as slack, open_channel("telegram") as telegram:
        chats = [cast("Chat", slack), cast("Chat", telegram)]
        desk = Desk(sqlite, tmp_path, [chat.notifier for chat in chats], policy=AskSeveral(required=2))
        for name, chat, user in (("anna", chats[0], ANNA), ("ben", chats[1], BEN)):
            await desk.people.add(name, None)
            await desk.people.link(chat.name, chat.account(user), name)
        await desk.people.link("telegram", str(ANNA), "anna")
        async with desk.dispatching():
            request_id = (await desk.ask()).request.request_id
            await chats[0].press(request_id, "Approve", ANNA)
            # The same person on another channel is not a second person.
            assert "already" in await chats[1].press(request_id, "Approve", ANNA)
            assert (await desk.service.get(request_id)).request.status is RequestStatus.PENDING
            await chats[1].press(request_id, "Approve", BEN)
            ended = await desk.ended(request_id)
            assert ended.request.status is RequestStatus.APPROVED
            for chat in chats:
                await desk.card(request_id, chat.name, CardState.CLOSED)
                assert "Approved by anna, ben" in chat.shown(request_id)[-1]
