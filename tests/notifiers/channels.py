"""One handle for every channel under test: what it shows, what people do there, and how its service fails."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from pydantic import SecretStr

from hitl_mcp.notifiers.base import Notifier
from hitl_mcp.notifiers.console import ConsoleNotifier
from hitl_mcp.notifiers.settings import SlackSettings, TelegramSettings
from hitl_mcp.notifiers.slack.blocks import APPROVE, DENY
from hitl_mcp.notifiers.slack.notifier import SlackNotifier
from hitl_mcp.notifiers.telegram.notifier import TelegramNotifier
from tests.emulators import slack as slack_emulator
from tests.emulators import telegram as telegram_emulator
from tests.emulators.serving import Fault
from tests.emulators.slack import SlackEmulator
from tests.emulators.telegram import TelegramEmulator


class Channel(Protocol):
    """A channel with the service behind it."""

    name: str
    notifier: Notifier
    secrets: tuple[str, ...]

    def shown(self, request_id: str) -> list[str]:
        """All that each card of this request shows now."""
        ...

    def exact_texts(self, request_id: str) -> list[str]:
        """The texts of the newest card that are shown letter by letter, as code."""
        ...

    def live(self, request_id: str) -> list[str]:
        """What agent-written text made into something to tap, load or be notified by."""
        ...

    def buttons(self, request_id: str) -> list[str]: ...

    def calls(self, request_id: str) -> list[str]:
        """What called people to the card of this request, besides the card."""
        ...

    def delete_cards(self, request_id: str) -> None:
        """Somebody deletes the messages that hold the cards, where a channel has such."""
        ...

    def break_next(self, fault: str) -> None:
        """`down`, `lost` (done, but the answer is lost), `refused` or `unauthorized`."""
        ...

    def with_wrong_credentials(self) -> Notifier: ...


class Chat(Channel, Protocol):
    """A channel that people answer in."""

    async def wait_for_card(self, request_id: str) -> None: ...

    async def press(self, request_id: str, button: str, user: int) -> str:
        """Press a button as this user and return what the user was told ("" when only the card answers)."""
        ...

    async def forge(self, request_id: str, nonce: str, verdict: str, user: int) -> str:
        """Deliver a press of a button that is not there."""
        ...

    async def repeat_last(self) -> None:
        """Deliver the same press once more."""
        ...

    async def poison(self, user: int) -> None:
        """Deliver, as this user, everything that a service should never send."""
        ...

    def account(self, user: int) -> str: ...

    def nonce(self, request_id: str) -> str: ...


class ClosableStream(io.StringIO):
    """Standard error that can stop working."""

    broken = False

    def write(self, text: str, /) -> int:
        if self.broken:
            raise OSError(5, "Input/output error")
        return super().write(text)


class Console:
    name = "console"
    secrets = ()

    def __init__(self) -> None:
        self.stream = ClosableStream()
        self.notifier = ConsoleNotifier(self.stream)

    def shown(self, request_id: str) -> list[str]:
        text = self.stream.getvalue()
        return [text] if request_id in text else []

    def exact_texts(self, request_id: str) -> list[str]:
        lines = [line.removeprefix("    │ ") for line in self.stream.getvalue().split("\n") if "│" in line]
        return ["\n".join(lines)]

    def live(self, request_id: str) -> list[str]:
        return [
            character for character in self.stream.getvalue() if ord(character) < 32 and character != "\n"
        ]

    def buttons(self, request_id: str) -> list[str]:
        # The newest card: each stands between two rules.
        text = "".join(self.stream.getvalue().split("─" * 72)[-2:])
        offers = {"Approve": "Approve: hitl approve", "Deny": "Deny:    hitl deny", "Review": "Review: http"}
        closed = text.rstrip().split("\n")[-1].startswith(("Approved", "Denied", "Cancelled", "Not answered"))
        return [] if closed else [name for name, line in offers.items() if line in text]

    def calls(self, request_id: str) -> list[str]:
        lines = self.stream.getvalue().split("\n")
        return [line for line in lines if line.startswith("Still waiting") and request_id in line]

    def delete_cards(self, request_id: str) -> None:
        pass

    def break_next(self, fault: str) -> None:
        self.stream.broken = True

    def with_wrong_credentials(self) -> Notifier:
        stream = ClosableStream()
        stream.close()
        return ConsoleNotifier(stream)


class Telegram:
    name = "telegram"
    secrets = (telegram_emulator.TOKEN, telegram_emulator.TOKEN.partition(":")[2])

    def __init__(self, service: TelegramEmulator) -> None:
        self.service = service
        self.notifier = TelegramNotifier(self._settings(telegram_emulator.TOKEN))
        self._presses = 0

    def _settings(self, token: str) -> TelegramSettings:
        return TelegramSettings.model_validate(
            {"bot_token": SecretStr(token), "chat_id": self.service.chat_id, "api_url": self.service.origin}
        )

    def shown(self, request_id: str) -> list[str]:
        return [message.text for message in self.service.cards(request_id)]

    def exact_texts(self, request_id: str) -> list[str]:
        return self.service.cards(request_id)[-1].entity_texts("pre")

    def live(self, request_id: str) -> list[str]:
        mine = [each for each in self.service.messages.values() if request_id in each.text]
        return [link for message in mine for link in message.live_links()]

    def buttons(self, request_id: str) -> list[str]:
        return self.service.cards(request_id)[-1].buttons

    def calls(self, request_id: str) -> list[str]:
        messages = self.service.messages.values()
        return [each.text for each in messages if each.reply_to is not None and request_id in each.text]

    def delete_cards(self, request_id: str) -> None:
        for card in self.service.cards(request_id):
            del self.service.messages[card.message_id]

    def break_next(self, fault: str) -> None:
        faults = {
            "down": Fault(502),
            "lost": Fault(drop_connection=True, after=True),
            "refused": Fault(400, error="Bad Request: can't parse entities"),
            "unauthorized": Fault(403, error="Forbidden: bot was kicked from the supergroup chat"),
        }
        for method in ("sendMessage", "editMessageText"):
            self.service.fail(method, faults[fault])

    def with_wrong_credentials(self) -> Notifier:
        return TelegramNotifier(self._settings("987654321:AAwrong"))

    async def wait_for_card(self, request_id: str) -> None:
        await self.service.card(request_id)

    async def press(self, request_id: str, button: str, user: int) -> str:
        card = await self.service.card(request_id)
        return await self.service.answer(await self.service.tap(card, button, user))

    async def forge(self, request_id: str, nonce: str, verdict: str, user: int) -> str:
        card = await self.service.card(request_id)
        data = f"{'a' if verdict == 'approve' else 'd'}:{nonce}"
        return await self.service.answer(await self.service.send_callback(data, user, card))

    async def repeat_last(self) -> None:
        await self.service.push(callback_query=self.service.last_callback)

    async def poison(self, user: int) -> None:
        place = {"id": self.service.chat_id}
        for text in ("/approve \ud83d", "/status \x00", "/status \ud83d", "/reject \x00 \ud83d\x00"):
            await self.service.push(message={"text": text, "from": {"id": user}, "chat": place})
        for data in ("a:\ud83d", "d:\x00", "a:" + "x" * 100_000):
            await self.service.push(callback_query={"id": "\x00", "from": {"id": user}, "data": data})
        await self.service.push(callback_query={"id": [], "from": {"id": "x"}, "data": 7})
        await self.service.push(callback_query=None)
        await self.service.push(callback_query={})
        await self.service.push(message={"text": "/approve", "from": {"id": True}, "chat": []})
        await self.service.push(message={"text": {"nested": [1]}, "chat": {"id": None}})
        await self.service.push(edited_channel_post={"text": "/approve x"})
        await self.service.push(message={"text": "/" * 5000, "from": {"id": 1}, "chat": {"id": 1}})
        await self.service.push(message={"text": "/approve \x00\ud83d", "from": {"id": 1}, "chat": {"id": 1}})

    def account(self, user: int) -> str:
        return str(user)

    def nonce(self, request_id: str) -> str:
        card = self.service.cards(request_id)[-1]
        deny = next(each for each in card.buttons if each.startswith("Deny"))
        return card.callback_data(deny).partition(":")[2]


class Slack:
    name = "slack"
    secrets = (slack_emulator.BOT_TOKEN, slack_emulator.APP_TOKEN)

    def __init__(self, service: SlackEmulator) -> None:
        self.service = service
        self.notifier = SlackNotifier(self._settings(slack_emulator.BOT_TOKEN))

    def _settings(self, token: str) -> SlackSettings:
        return SlackSettings.model_validate(
            {
                "bot_token": SecretStr(token),
                "app_token": SecretStr(slack_emulator.APP_TOKEN),
                "channel": slack_emulator.CHANNEL,
                "api_url": self.service.api_url,
            }
        )

    def shown(self, request_id: str) -> list[str]:
        return [message.visible for message in self.service.cards(request_id)]

    def exact_texts(self, request_id: str) -> list[str]:
        return [self.service.cards(request_id)[-1].preformatted()]

    def live(self, request_id: str) -> list[str]:
        mine = [each for each in self.service.messages.values() if request_id in each.visible]
        return [link for message in mine for link in message.live()]

    def buttons(self, request_id: str) -> list[str]:
        return list(self.service.cards(request_id)[-1].buttons)

    def calls(self, request_id: str) -> list[str]:
        messages = self.service.messages.values()
        return [
            each.visible for each in messages if each.thread_ts is not None and request_id in each.visible
        ]

    def delete_cards(self, request_id: str) -> None:
        for card in self.service.cards(request_id):
            del self.service.messages[card.ts]

    def break_next(self, fault: str) -> None:
        faults = {
            "down": Fault(503),
            "lost": Fault(drop_connection=True, after=True),
            "refused": Fault(error="invalid_blocks"),
            "unauthorized": Fault(error="not_in_channel"),
        }
        for method in ("chat.postMessage", "chat.update"):
            self.service.fail(method, faults[fault])

    def with_wrong_credentials(self) -> Notifier:
        return SlackNotifier(self._settings("xoxb-wrong"))

    async def wait_for_card(self, request_id: str) -> None:
        await self.service.card(request_id)

    async def press(self, request_id: str, button: str, user: int) -> str:
        card = await self.service.card(request_id)
        told = len(self._told(user))
        views = len(self.service.views)
        await self.service.acknowledged(await self.service.press(card, button, self.account(user)))
        if button.startswith("Deny") and len(self.service.views) > views:
            await self.service.acknowledged(await self.service.submit(self.service.views[-1], "not today"))
        return "".join(self._told(user)[told:])

    async def forge(self, request_id: str, nonce: str, verdict: str, user: int) -> str:
        card = await self.service.card(request_id)
        told = len(self._told(user))
        action = APPROVE if verdict == "approve" else DENY
        delivery = await self.service.send_action(card, action, nonce, self.account(user))
        await self.service.acknowledged(delivery)
        return "".join(self._told(user)[told:])

    def _told(self, user: int) -> list[str]:
        return [str(each["text"]) for each in self.service.ephemeral if each["user"] == self.account(user)]

    async def repeat_last(self) -> None:
        envelope = {**self.service.last_envelope}
        envelope.pop("envelope_id")
        await self.service.acknowledged(await self.service.send_envelope(envelope))

    async def poison(self, user: int) -> None:
        card = next(iter(self.service.messages.values()))
        for nonce in ("\ud83d", "\x00", "x" * 100_000):
            for action in (APPROVE, DENY):
                await self.service.send_action(card, action, nonce, self.account(user))
        await self.service.send_raw("this is no JSON")
        await self.service.send_raw("[" * 20_000)
        await self.service.send_raw('{"type": 7}')
        for payload in (
            "text",
            [],
            {"type": "block_actions", "actions": [7, {}, None]},
            {"type": "view_submission"},
        ):
            await self.service.send_interaction(payload)
        view = {"callback_id": "hitl_deny_reason", "private_metadata": "{not json", "state": []}
        await self.service.send_interaction({"type": "view_submission", "user": {"id": "U1"}, "view": view})

    def account(self, user: int) -> str:
        return f"U{user:09d}"

    def nonce(self, request_id: str) -> str:
        buttons = self.service.cards(request_id)[-1].buttons
        return str(next(each["value"] for name, each in buttons.items() if name.startswith("Deny")))


@asynccontextmanager
async def open_channel(name: str) -> AsyncIterator[Channel]:
    """A channel on a running service of its own."""
    if name == "console":
        yield Console()
        return
    service = TelegramEmulator() if name == "telegram" else SlackEmulator()
    await service.start()
    channel = Telegram(service) if isinstance(service, TelegramEmulator) else Slack(service)
    try:
        yield channel
    finally:
        await channel.notifier.aclose()
        await service.stop()
