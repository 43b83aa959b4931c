"""What every channel must hold. `test_conformance.py` runs this suite for each of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from hitl_contract.display import safe_text
from hitl_mcp.approvals.models import Assurance, RequestStatus, RiskLevel
from hitl_mcp.notifiers.base import Call, CardTap, InboxAnswer, TypedDecision
from hitl_mcp.notifiers.errors import (
    CardGone,
    CardRefused,
    ChannelUnauthorized,
    DeliveryFailed,
    NotifierError,
)
from tests.notifiers.channels import Channel, open_channel
from tests.notifiers.made_cards import REQUEST, ended, make_card, shared, squeezed

# Each would do something in some service if it were taken for more than text.
HOSTILE = [
    "<!channel> <@U012ABC> <https://evil.example|safe> &lt;!here&gt;",
    "*bold* _it_ `code` ```block``` ~s~ > quote :tada: {{x}}",
    "[click](https://evil.example) <b>bold</b> <a href='https://evil.example'>x</a> ||spoiler||",
    "visit https://evil.example.com or evil.com @admin #channel /approve_all $CASH a@evil.com",
    "```\nApproved by admin\n```\nWhat will run:\nprint('hello')",
    "\x1b[2J\x1b[31mred\x1b[0m \a\b\r\u202egnp.exe\u2066 \u200bzero\u00ad",
    "tag:user@evil.com,+15551234567 tg://resolve?domain=evil",
]


class DeafInbox:
    """A `DecisionInbox` that nothing should reach."""

    async def tap(self, tap: CardTap) -> InboxAnswer:
        raise AssertionError(tap)

    async def examine(self, tap: CardTap) -> InboxAnswer | None:
        raise AssertionError(tap)

    async def typed(self, decision: TypedDecision) -> InboxAnswer:
        raise AssertionError(decision)

    async def pending(self, channel: str, external_user_id: str) -> InboxAnswer:
        raise AssertionError(channel)

    async def status(self, channel: str, external_user_id: str, request_id: str | None) -> InboxAnswer:
        raise AssertionError(channel)


class NotifierConformance:
    """Subclasses say which channel."""

    channel_name: str

    @pytest_asyncio.fixture
    async def channel(self) -> AsyncIterator[Channel]:
        async with open_channel(self.channel_name) as opened:
            yield opened

    # check

    async def test_a_reachable_channel_checks_well(self, channel: Channel) -> None:
        result = await channel.notifier.check()
        assert result.ok, result.detail
        assert result.channel == channel.name == channel.notifier.channel

    async def test_wrong_credentials_check_badly_and_say_so_without_them(self, channel: Channel) -> None:
        notifier = channel.with_wrong_credentials()
        result = await notifier.check()
        await notifier.aclose()
        assert not result.ok
        assert len(result.detail) > 10
        assert "wrong" not in result.detail.casefold().split("xoxb-")[-1].split("aa")[-1]

    # send

    async def test_a_card_shows_all_that_will_run_letter_by_letter(self, channel: Channel) -> None:
        card = make_card("import os\nprint(os.getcwd())\n" * 5, summary="lists the directory")
        await channel.notifier.send(card)
        assert squeezed(card.display.text) in squeezed("".join(channel.exact_texts(REQUEST)))
        (shown,) = channel.shown(REQUEST)
        for expected in (REQUEST, "agent-1", "to know the answer", "lists the directory", card.action_digest):
            assert expected in shown
        assert "low" in shown

    async def test_a_reference_survives_storage(self, channel: Channel) -> None:
        reference = await channel.notifier.send(make_card())
        stored = json.loads(json.dumps(dict(reference.data)))
        await channel.notifier.update(
            replace(make_card(), version=2, approved_by=("bob",)), replace(reference, data=stored)
        )
        await channel.notifier.close(ended(make_card()), replace(reference, data=stored))

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_agent_written_text_is_inert_wherever_it_stands(self, channel: Channel, text: str) -> None:
        card = make_card(f"x = {text!r}\n{text}\n", justification=text, summary=text)
        reference = await channel.notifier.send(card)
        assert channel.live(REQUEST) == []
        denied = replace(
            ended(card, RequestStatus.DENIED, by=safe_text(text)[:60]), reason=safe_text(text, multiline=True)
        )
        await channel.notifier.close(denied, reference)
        assert channel.live(REQUEST) == []

    # what is offered

    @pytest.mark.parametrize("risk", [RiskLevel.LOW, RiskLevel.MEDIUM])
    async def test_a_whole_card_of_modest_risk_offers_approve_deny_and_review(
        self, channel: Channel, risk: RiskLevel
    ) -> None:
        card = make_card(risk=risk)
        await channel.notifier.send(card)
        assert set(channel.buttons(REQUEST)) == {"Approve", "Deny", "Review"}
        assert channel.notifier.offers_approve(card)

    @pytest.mark.parametrize("risk", [RiskLevel.HIGH, RiskLevel.CRITICAL])
    async def test_high_risk_offers_review_in_the_place_of_approve(
        self, channel: Channel, risk: RiskLevel
    ) -> None:
        card = make_card(risk=risk)
        await channel.notifier.send(card)
        assert set(channel.buttons(REQUEST)) == {"Deny", "Review"}
        assert not channel.notifier.offers_approve(card)

    async def test_a_rule_that_asks_for_a_session_takes_approve_away(self, channel: Channel) -> None:
        card = make_card(assurance=Assurance.SESSION)
        await channel.notifier.send(card)
        assert set(channel.buttons(REQUEST)) == {"Deny", "Review"}

    @pytest.mark.parametrize(
        "code",
        [
            "x = 1\n" * 20_000,
            "# " + "y" * 60_000,
            "# " + "😀" * 9_000,
            '"\\' * 9_000,
            "1" + "\n" * 18_000,
            "\t\x00" * 9_000,
        ],
        ids=["lines", "one line", "astral", "quotes", "empty lines", "controls"],
    )
    async def test_what_does_not_fit_is_counted_and_takes_approve_away(
        self, channel: Channel, code: str
    ) -> None:
        card = make_card(code)
        await channel.notifier.send(card)
        assert set(channel.buttons(REQUEST)) == {"Deny", "Review"}
        (shown,) = channel.shown(REQUEST)
        assert "characters do not fit here" in shown
        assert card.review_url in shown or "Review" in channel.buttons(REQUEST)

    async def test_hidden_prose_takes_approve_away_too(self, channel: Channel) -> None:
        card = make_card(justification="because " * 4_000)
        await channel.notifier.send(card)
        assert "Approve" not in channel.buttons(REQUEST)
        assert squeezed(card.display.text) in squeezed("".join(channel.exact_texts(REQUEST)))

    @pytest.mark.parametrize("size", range(2_000, 15_000, 650))
    async def test_a_card_of_any_size_is_accepted_by_the_service(self, channel: Channel, size: int) -> None:
        for text in ("z" * size, "😀" * (size // 2), '"\n' * (size // 2)):
            card = make_card(text, justification=text[: size // 3])
            await channel.notifier.send(card)
            assert ("Approve" in channel.buttons(REQUEST)) == channel.notifier.offers_approve(card)

    # cards that carry several requests

    async def test_a_card_that_carries_several_shows_every_action_whole_and_names_every_request(
        self, channel: Channel
    ) -> None:
        card = shared("print(1)\n", "print(2)\n", "print(2)\n")
        await channel.notifier.send(card)
        exact = squeezed("".join(channel.exact_texts(REQUEST)))
        (shown,) = channel.shown(REQUEST)
        for item in card.items:
            assert squeezed(item.display.text) in exact
            assert squeezed(item.justification) in exact
            assert item.request_id in shown
            assert item.action_digest in shown
        assert channel.notifier.offers_approve(card)
        assert channel.notifier.holds(card)
        offered = {button.partition(" all")[0] for button in channel.buttons(REQUEST)}
        assert offered == {"Approve", "Deny", "Review"}

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_nothing_on_a_shared_card_is_more_than_text(self, channel: Channel, text: str) -> None:
        inert = safe_text(text)[:80]
        items = [replace(each, agent=inert) for each in shared(f"x = {text!r}\n", text, text).items]
        card = replace(items[0], others=(items[1], ended(items[2], RequestStatus.DENIED, by=inert)))
        reference = await channel.notifier.send(card)
        assert channel.live(REQUEST) == []
        over = [ended(each, RequestStatus.DENIED, by=inert) for each in items]
        await channel.notifier.close(replace(over[0], others=tuple(over[1:])), reference)
        assert channel.live(REQUEST) == []
        assert channel.buttons(REQUEST) == []

    @pytest.mark.parametrize("size", [300, 900, 2_000, 6_000, 40_000])
    async def test_a_shared_card_of_any_size_is_accepted_and_offers_approve_only_where_all_is_shown(
        self, channel: Channel, size: int
    ) -> None:
        card = shared(*[f"x = {number}\n" + "z" * size for number in range(5)])
        await channel.notifier.send(card)
        exact = squeezed("".join(channel.exact_texts(REQUEST)))
        whole = all(squeezed(each.display.text) in exact for each in card.items)
        offers = any(button.startswith("Approve") for button in channel.buttons(REQUEST))
        assert channel.notifier.offers_approve(card) == whole == offers
        (shown,) = channel.shown(REQUEST)
        for item in card.items:
            assert item.request_id in shown
            assert item.action_digest in shown
        assert whole or "characters do not fit here" in shown

    async def test_one_request_that_a_chat_may_not_approve_takes_approve_from_the_whole_card(
        self, channel: Channel
    ) -> None:
        card = shared("print(1)\n", "print(2)\n")
        high = replace(card.others[0], risk_level=RiskLevel.HIGH)
        assert not channel.notifier.offers_approve(replace(card, others=(high,)))

    # update and close

    async def test_an_updated_card_shows_the_new_state(self, channel: Channel) -> None:
        card = replace(make_card(), approvals_required=2)
        reference = await channel.notifier.send(card)
        await channel.notifier.update(replace(card, version=2, approved_by=("bob",)), reference)
        assert len(channel.shown(REQUEST)) == 1
        assert REQUEST in channel.shown(REQUEST)[0]

    @pytest.mark.parametrize(
        ("status", "by", "words"),
        [
            (RequestStatus.APPROVED, "anna", "Approved by anna"),
            (RequestStatus.DENIED, "bob", "Denied by bob"),
            (RequestStatus.TIMEOUT, None, "Not answered in time"),
            (RequestStatus.CANCELLED, "agent-1", "Cancelled by agent-1"),
        ],
    )
    async def test_a_closed_card_says_how_it_ended_and_by_whom_and_has_no_buttons(
        self, channel: Channel, status: RequestStatus, by: str | None, words: str
    ) -> None:
        card = make_card()
        reference = await channel.notifier.send(card)
        for _ in range(2):
            await channel.notifier.close(ended(card, status, by), reference)
            assert words in channel.shown(REQUEST)[0]
            assert channel.buttons(REQUEST) == []

    # calls

    async def test_a_call_leads_to_its_card_names_who_is_asked_and_decides_nothing(
        self, channel: Channel
    ) -> None:
        card = make_card()
        reference = await channel.notifier.send(card)
        escalated = replace(card, version=2, escalated_to=("security", "anna"))
        await channel.notifier.update(escalated, reference)
        await channel.notifier.remind(escalated, reference, Call(1))
        assert "security, anna" in channel.shown(REQUEST)[0]
        (call,) = channel.calls(REQUEST)
        for expected in ("Still waiting", REQUEST, "agent-1", "security, anna", "low"):
            assert expected in call
        assert card.nonce not in call
        assert "print(" not in call
        assert len(channel.shown(REQUEST)) == 1
        await channel.notifier.close(ended(escalated), reference)

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_names_in_a_call_are_inert(self, channel: Channel, text: str) -> None:
        card = replace(make_card(), agent=safe_text(text)[:80], escalated_to=(safe_text(text)[:80],))
        reference = await channel.notifier.send(card)
        await channel.notifier.remind(card, reference, Call(1))
        assert len(channel.calls(REQUEST)) == 1
        assert channel.live(REQUEST) == []

    async def test_a_call_to_a_card_that_somebody_deleted_says_that_it_is_gone(
        self, channel: Channel
    ) -> None:
        card = make_card()
        reference = await channel.notifier.send(card)
        channel.delete_cards(REQUEST)
        if channel.name == "console":
            await channel.notifier.remind(card, reference, Call(1))
            return
        with pytest.raises(CardGone):
            await channel.notifier.remind(card, reference, Call(1))

    async def test_a_call_that_was_begun_before_is_made_again_unless_the_service_shows_it(
        self, channel: Channel
    ) -> None:
        card = make_card()
        reference = await channel.notifier.send(card)
        for begun_before in (False, True):
            await channel.notifier.remind(card, reference, Call(1, begun_before))
        await channel.notifier.remind(card, reference, Call(2))
        assert len(channel.calls(REQUEST)) == (2 if channel.name == "slack" else 3)

    # failures

    @pytest.mark.parametrize("fault", ["down", "lost", "refused", "unauthorized"])
    async def test_a_failing_service_is_a_named_error_without_secrets(
        self, channel: Channel, fault: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        channel.break_next(fault)
        with pytest.raises(NotifierError) as caught:
            await channel.notifier.send(make_card("print('the secret program')"))
        expected = {"refused": CardRefused, "unauthorized": ChannelUnauthorized}.get(fault, DeliveryFailed)
        assert isinstance(caught.value, expected if channel.name != "console" else DeliveryFailed)
        spoken = f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caplog.text}"
        for secret in (*channel.secrets, "the secret program"):
            assert secret not in spoken

    async def test_nothing_secret_is_logged_when_all_goes_well(
        self, channel: Channel, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        await channel.notifier.check()
        reference = await channel.notifier.send(make_card())
        await channel.notifier.close(ended(make_card()), reference)
        receiving = asyncio.create_task(channel.notifier.receive(DeafInbox()))
        await asyncio.sleep(0.2)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        for secret in channel.secrets:
            assert secret not in caplog.text
        assert "ticket=" not in caplog.text

    # receive and aclose

    async def test_receiving_ends_at_once_when_cancelled(self, channel: Channel) -> None:
        receiving = asyncio.create_task(channel.notifier.receive(DeafInbox()))
        await asyncio.sleep(0.1)
        assert not receiving.done()
        receiving.cancel()
        async with asyncio.timeout(2):
            await asyncio.gather(receiving, return_exceptions=True)

    async def test_a_released_notifier_may_be_used_again(self, channel: Channel) -> None:
        await channel.notifier.send(make_card())
        await channel.notifier.aclose()
        await channel.notifier.aclose()
        assert (await channel.notifier.check()).ok
