"""Requests that come at the same time share a card, and one tap decides exactly what it showed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from sqlalchemy import text, update

from hitl_contract.action import parse_action
from hitl_mcp.approvals.models import Assurance, EditInput, RequestRecord, RequestStatus, RiskLevel
from hitl_mcp.notifiers.card_store import CardRow, CardState
from hitl_mcp.notifiers.placing import SharingWindows
from hitl_mcp.storage.schema import card_faces
from server_kit.database.base import Database
from tests.approvals.world import AskSeveral, program, submission
from tests.notifiers.channels import Chat, Console, open_channel
from tests.notifiers.desk import Desk

ANNA, BEN = 4711, 4712
AGENTS = ("agent-1", "agent-2", "agent-3")
KIN = timedelta(seconds=0.4)


@dataclass
class Scene:
    desk: Desk
    chat: Chat

    async def same(self, agents: Sequence[str] = AGENTS, **how: Any) -> list[str]:
        """Each of these agents asks for the same program."""
        records = [await self.desk.ask("print('the same')", agent=agent, **how) for agent in agents]
        return [record.request.request_id for record in records]

    async def write_file(self, name: str, text: str = "+ x\n", agent: str = "agent-1") -> str:
        action = parse_action({"type": "file_change", "path": f"/srv/{name}", "diff": text})
        wanted = replace(submission(risk=RiskLevel.LOW, justification=f"to fill {name}"), action=action)
        return (await self.desk.service.submit(agent, wanted)).request.request_id

    async def row(self, request_id: str, wanted: Callable[[CardRow], bool]) -> CardRow:
        async with asyncio.timeout(15):
            while True:
                row = await self.desk.cards.of_request(request_id, self.chat.name)
                if row is not None and wanted(row):
                    return row
                await asyncio.sleep(0.01)

    async def together(self, request_ids: Sequence[str]) -> str:
        """Wait until one card shows all of them and has done so for long enough; what it shows."""
        for request_id in request_ids:
            await self.row(request_id, lambda row: row.state is CardState.OPEN)
        self.desk.clock.advance(2)
        (shown,) = self.chat.shown(request_ids[0])
        assert all(request_id in shown for request_id in request_ids)
        return shown

    async def status(self, request_id: str) -> RequestStatus:
        return (await self.desk.service.get(request_id)).request.status

    async def record(self, request_id: str) -> RequestRecord:
        return await self.desk.service.get(request_id)


@pytest_asyncio.fixture(params=["slack", "telegram"])
async def chat(request: pytest.FixtureRequest) -> AsyncIterator[Chat]:
    async with open_channel(request.param) as channel:
        yield cast("Chat", channel)


def desk_of(database: Database, home: Path, chat: Chat, **how: Any) -> Desk:
    how.setdefault("sharing", SharingWindows(kin=KIN))
    return Desk(database, home, [chat.notifier], **how)


async def people(desk: Desk, chat: Chat) -> None:
    for name, user in (("anna", ANNA), ("ben", BEN)):
        await desk.people.add(name, None)
        await desk.people.link(chat.name, chat.account(user), name)


@pytest_asyncio.fixture
async def scene(chat: Chat, sqlite: Database, tmp_path: Path) -> AsyncIterator[Scene]:
    desk = desk_of(sqlite, tmp_path, chat)
    await people(desk, chat)
    async with desk.dispatching():
        yield Scene(desk, chat)


async def test_agents_that_ask_for_the_same_share_a_card_and_one_tap_decides_each_by_its_own_digest(
    scene: Scene,
) -> None:
    asked = await scene.same()
    shown = await scene.together(asked)
    assert "3 agents: agent-1, agent-2, agent-3" in shown
    assert shown.count("print('the same')") == 1
    assert scene.chat.buttons(asked[0])[0] == "Approve all 3"
    await scene.chat.press(asked[0], "Approve all 3", ANNA)
    decisions: list[str] = []
    for agent, request_id in zip(AGENTS, asked, strict=True):
        ended = await scene.desk.ended(request_id)
        assert ended.request.status is RequestStatus.APPROVED
        (decision,) = ended.decisions
        assert decision.action_digest == ended.request.action_digest
        assert decision.evidence["batch"]
        assert decision.evidence["account"] == scene.chat.account(ANNA)
        decisions.append(decision.decision_id)
        assert (await scene.desk.service.collect_token(agent, request_id)).token
    assert len(set(decisions)) == 3
    await scene.row(asked[0], lambda row: row.state is CardState.CLOSED)
    (closed,) = scene.chat.shown(asked[0])
    assert closed.count("Approved by anna") == 3
    assert scene.chat.buttons(asked[0]) == []


async def test_a_burst_of_file_writes_is_one_card_that_shows_every_one_whole(
    chat: Chat, sqlite: Database, tmp_path: Path
) -> None:
    desk = desk_of(sqlite, tmp_path, chat)
    await people(desk, chat)
    scene = Scene(desk, chat)
    asked = [await scene.write_file(f"file-{number}", f"+ line {number}\n") for number in range(5)]
    async with desk.dispatching():
        await scene.together(asked)
        await shows_each_whole_and_denies_each(scene, asked)


async def shows_each_whole_and_denies_each(scene: Scene, asked: Sequence[str]) -> None:
    exact = "\n".join(scene.chat.exact_texts(asked[0]))
    for number in range(5):
        assert f"/srv/file-{number}" in exact
        assert f"+ line {number}" in exact
        assert f"to fill file-{number}" in exact
    for request_id in asked:
        assert (await scene.record(request_id)).request.action_digest in scene.chat.shown(asked[0])[0]
    await scene.chat.press(asked[0], "Deny all 5", ANNA)
    for request_id in asked:
        assert (await scene.desk.ended(request_id)).request.status is RequestStatus.DENIED


async def test_what_does_not_fit_on_a_card_whole_gets_another_and_keeps_its_approve_button(
    chat: Chat, sqlite: Database, tmp_path: Path
) -> None:
    desk = desk_of(sqlite, tmp_path, chat)
    scene = Scene(desk, chat)
    asked = [await scene.write_file(f"file-{number}", "+ y = 1\n" * 100) for number in range(9)]
    async with desk.dispatching():
        places = {(await scene.row(each, lambda row: row.state is CardState.OPEN)).place for each in asked}
        assert 1 < len(places) < len(asked)
        for place in places:
            assert chat.buttons(place)[0].startswith("Approve")


async def test_the_first_of_a_burst_is_shown_at_once(chat: Chat, sqlite: Database, tmp_path: Path) -> None:
    desk = desk_of(sqlite, tmp_path, chat, sharing=SharingWindows(kin=timedelta(seconds=60)))
    async with desk.dispatching():
        scene = Scene(desk, chat)
        first, second = await scene.same(("agent-1", "agent-2"))
        async with asyncio.timeout(5):
            await scene.row(first, lambda row: row.state is CardState.OPEN)
        assert (await scene.row(second, lambda _: True)).carried_by == first
        assert second not in chat.shown(first)[0]


async def test_a_tap_on_what_the_card_showed_before_decides_only_that(scene: Scene) -> None:
    first, second = await scene.same(("agent-1", "agent-2"))
    old = (await scene.row(first, lambda row: row.state is CardState.OPEN)).nonce
    await scene.together([first, second])
    await scene.chat.forge(first, old, "approve", ANNA)
    assert (await scene.desk.ended(first)).request.status is RequestStatus.APPROVED
    assert (await scene.record(second)).decisions == ()
    (third,) = await scene.same(("agent-3",))
    # Somebody decided on that card already: who joins would not be looked at.
    await scene.row(third, lambda row: row.state is CardState.OPEN and row.carried_by is None)


async def test_a_tap_on_an_older_face_decides_what_it_showed_and_not_what_joined_later(scene: Scene) -> None:
    asked = await scene.same(("agent-1", "agent-2"))
    await scene.together(asked)
    old = scene.chat.nonce(asked[0])
    late = (await scene.same(("agent-3",)))[0]
    await scene.together([*asked, late])
    assert scene.chat.nonce(asked[0]) != old
    await scene.chat.forge(asked[0], old, "approve", ANNA)
    for request_id in asked:
        assert (await scene.desk.ended(request_id)).request.status is RequestStatus.APPROVED
    assert (await scene.record(late)).decisions == ()
    await scene.row(asked[0], lambda row: (row.showing or "").count("APPROVED") == 2)
    await scene.chat.press(late, "Approve", ANNA)
    assert (await scene.desk.ended(late)).request.status is RequestStatus.APPROVED


async def test_an_approval_that_lands_on_a_card_just_as_it_grows_decides_nothing(scene: Scene) -> None:
    asked = await scene.same()
    for request_id in asked:
        await scene.row(request_id, lambda row: row.state is CardState.OPEN)

    async def grow_now(connection: Any) -> None:
        await connection.execute(update(card_faces).values(grew_at=scene.desk.clock.now()))

    await scene.desk.database.write(grow_now)
    assert "just changed" in await scene.chat.press(asked[0], "Approve all 3", ANNA)
    for request_id in asked:
        assert (await scene.record(request_id)).decisions == ()
    assert "just_changed" in await scene.desk.refusals_about(asked[0])


async def test_who_asked_decides_nothing_of_their_own_while_the_others_on_the_card_are_decided(
    scene: Scene,
) -> None:
    asked = await scene.same(("agent-1", "anna", "agent-3"))
    await scene.together(asked)
    answer = await scene.chat.press(asked[0], "Approve all 3", ANNA)
    assert "Approved: 2 requests" in answer
    assert asked[1] in answer
    assert await scene.status(asked[1]) is RequestStatus.PENDING
    assert "NotEligible" in await scene.desk.refusals_about(asked[1])
    await scene.chat.service.until(lambda: "Approve" in scene.chat.buttons(asked[1]))
    await scene.chat.press(asked[1], "Approve", BEN)
    assert (await scene.desk.ended(asked[1])).request.status is RequestStatus.APPROVED


async def test_each_request_on_the_card_needs_its_own_quorum(
    chat: Chat, sqlite: Database, tmp_path: Path
) -> None:
    desk = desk_of(sqlite, tmp_path, chat, policy=AskSeveral(required=2))
    await people(desk, chat)
    async with desk.dispatching():
        scene = Scene(desk, chat)
        asked = await scene.same()
        await scene.together(asked)
        await chat.press(asked[0], "Approve all 3", ANNA)
        for request_id in asked:
            await scene.row(request_id, lambda row: row.version > 1)
            record = await scene.record(request_id)
            assert (record.request.status, len(record.decisions)) == (RequestStatus.PENDING, 1)
        await chat.press(asked[0], "Approve all 3", ANNA)
        for request_id in asked:
            assert len((await scene.record(request_id)).decisions) == 1
        await chat.press(asked[0], "Approve all 3", BEN)
        for request_id in asked:
            assert (await desk.ended(request_id)).request.status is RequestStatus.APPROVED


async def test_a_face_that_was_changed_in_the_database_decides_nothing(scene: Scene) -> None:
    asked = await scene.same(("agent-1", "agent-2"))
    await scene.together(asked)
    nonce = scene.chat.nonce(asked[0])
    other = await scene.desk.ask("print('harmful')", agent="agent-9")
    items = [[other.request.request_id, other.request.action_digest]]

    async def swap(connection: Any) -> None:
        await connection.execute(update(card_faces).values(items=items))

    await scene.desk.database.write(swap)
    assert "not current" in await scene.chat.forge(asked[0], nonce, "approve", ANNA)
    for request_id in (*asked, other.request.request_id):
        assert (await scene.record(request_id)).decisions == ()


async def test_an_edit_after_the_card_was_read_is_not_decided_by_the_tap_and_the_rest_is(
    scene: Scene,
) -> None:
    asked = await scene.same(("agent-1", "agent-2"))
    await scene.together(asked)
    old = scene.chat.nonce(asked[0])
    record = await scene.record(asked[1])
    await scene.desk.service.edit(
        EditInput(
            asked[1], "ben", program("print('edited')"), None, "web", Assurance.SESSION,
            record.request.action_digest,
        )
    )  # fmt: skip
    assert "Approved: 1 request" in await scene.chat.forge(asked[0], old, "approve", ANNA)
    assert await scene.status(asked[0]) is RequestStatus.APPROVED
    assert (await scene.record(asked[1])).decisions == ()
    await scene.row(asked[1], lambda row: row.version > record.request.version)
    assert "print('edited')" in scene.chat.shown(asked[1])[0]


@pytest.mark.parametrize("how", [{"risk": RiskLevel.CRITICAL}, {"risk": RiskLevel.LOW, "off": True}])
async def test_critical_requests_share_with_nobody_and_sharing_can_be_turned_off(
    chat: Chat, sqlite: Database, tmp_path: Path, how: dict[str, Any]
) -> None:
    off = how.get("off", False)
    windows = SharingWindows(timedelta(0), timedelta(0)) if off else SharingWindows(kin=KIN)
    desk = desk_of(sqlite, tmp_path, chat, sharing=windows)
    async with desk.dispatching():
        scene = Scene(desk, chat)
        for request_id in await scene.same(risk=how["risk"]):
            row = await scene.row(request_id, lambda row: row.state is CardState.OPEN)
            assert row.carried_by is None


async def test_requests_of_different_risk_and_other_programs_have_cards_of_their_own(scene: Scene) -> None:
    asked = [
        *(await scene.same(("agent-1",))),
        *(await scene.same(("agent-2",), risk=RiskLevel.MEDIUM)),
        (await scene.desk.ask("print('another')")).request.request_id,
    ]
    for request_id in asked:
        await scene.row(request_id, lambda row: row.state is CardState.OPEN and row.carried_by is None)


async def test_one_that_joins_a_card_which_is_decided_before_it_is_shown_gets_its_own(
    chat: Chat, sqlite: Database, tmp_path: Path
) -> None:
    desk = desk_of(sqlite, tmp_path, chat, sharing=SharingWindows(kin=timedelta(seconds=1.5)))
    await people(desk, chat)
    async with desk.dispatching():
        scene = Scene(desk, chat)
        first, second = await scene.same(("agent-1", "agent-2"))
        await scene.row(second, lambda row: row.carried_by == first)
        await chat.press(first, "Approve", ANNA)
        await desk.ended(first)
        await scene.row(second, lambda row: row.state is CardState.OPEN and row.carried_by is None)
        await chat.service.until(lambda: "Approved by anna" in chat.shown(first)[0])
        assert await scene.status(second) is RequestStatus.PENDING


async def test_a_request_cannot_be_approved_by_command_before_a_card_shows_it(
    chat: Chat, sqlite: Database, tmp_path: Path
) -> None:
    if chat.name != "telegram":
        return
    desk = desk_of(sqlite, tmp_path, chat, sharing=SharingWindows(kin=timedelta(seconds=60)))
    await people(desk, chat)
    async with desk.dispatching():
        scene = Scene(desk, chat)
        _, second = await scene.same(("agent-1", "agent-2"))
        await scene.row(second, lambda row: row.carried_by is not None)
        service = cast("Any", chat).service
        reply = await service.reply(await service.write(f"/approve {second}", ANNA))
        assert "review page" in reply.text
        assert (await scene.record(second)).decisions == ()


async def test_a_burst_that_waited_for_a_start_is_on_one_card_after_it(
    chat: Chat, sqlite: Database, tmp_path: Path
) -> None:
    desk = desk_of(sqlite, tmp_path, chat)
    scene = Scene(desk, chat)
    asked = [await scene.write_file(f"file-{number}") for number in range(4)]
    async with desk.dispatching():
        for request_id in asked[1:]:
            await scene.row(request_id, lambda _: True)
        await scene.row(asked[0], lambda row: row.state is CardState.OPEN)
    # Another process takes over before the window of the burst is over.
    desk.dispatcher = desk.make_dispatcher()
    async with desk.dispatching():
        await scene.together(asked)


async def test_a_withdrawn_request_leaves_the_card_and_the_others_stay_to_be_decided(scene: Scene) -> None:
    asked = await scene.same()
    await scene.together(asked)
    await scene.desk.service.cancel(asked[0], agent="agent-1", person=None, reason="no longer needed")
    await scene.row(asked[0], lambda row: row.showing is not None and "CANCELLED" in row.showing)
    assert "Cancelled by agent-1" in scene.chat.shown(asked[1])[0]
    await scene.chat.press(asked[1], "Approve all 2", BEN)
    for request_id in asked[1:]:
        assert (await scene.desk.ended(request_id)).request.status is RequestStatus.APPROVED


async def test_the_console_shows_those_that_join_with_a_command_for_each(
    sqlite: Database, tmp_path: Path
) -> None:
    console = Console()
    desk = Desk(sqlite, tmp_path, [console.notifier], sharing=SharingWindows(kin=KIN))
    async with desk.dispatching():
        scene = Scene(desk, cast("Chat", console))
        asked = await scene.same()
        await scene.together(asked)
        for request_id in asked:
            assert f"hitl approve {request_id}" in console.shown(request_id)[0]
        await scene.desk.service.cancel(asked[2], agent=AGENTS[2], person=None, reason=None)


async def test_it_is_the_same_on_both_databases(database: Database, chat: Chat, tmp_path: Path) -> None:
    from tests.approvals.world import create_schema

    await create_schema(database)
    desk = desk_of(database, tmp_path, chat)
    await people(desk, chat)
    async with desk.dispatching():
        scene = Scene(desk, chat)
        asked = await scene.same()
        await scene.together(asked)
        await chat.press(asked[2], "Approve all 3", ANNA)
        for request_id in asked:
            assert (await desk.ended(request_id)).request.status is RequestStatus.APPROVED
        row = await scene.row(asked[0], lambda row: row.state is CardState.CLOSED)
        count = await database.read(lambda each: each.execute(text("SELECT count(*) FROM card_faces")))
        assert row.carries or row.carried_by in asked
        assert count.scalar_one() >= 1
