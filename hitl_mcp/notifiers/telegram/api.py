"""The Bot API's calls, with its errors told apart and its token kept out of every URL that could be logged.

Source: https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import httpx2
from pydantic import JsonValue, SecretStr

from hitl_mcp.notifiers.errors import CardGone, CardRefused, ChannelBusy, ChannelUnauthorized, DeliveryFailed

CHANNEL = "telegram"
LONG_POLL_SECONDS = 25
_CALL_TIMEOUT = httpx2.Timeout(15.0)
_HIDDEN = "bot-token"
_GONE = (
    "message to edit not found",
    "message to be replied not found",
    "message can't be edited",
    "message_id_invalid",
)
_UNAUTHORIZED = (
    "chat not found",
    "group chat was upgraded",
    "peer_id_invalid",
    "chat_write_forbidden",
    "not enough rights",
)


class PollingConflict(DeliveryFailed):
    """Another process reads this bot's updates (HTTP 409), or a webhook is set."""


class NothingChanged(CardRefused):
    """The edit would leave the message as it is."""


class _TokenTransport(httpx2.AsyncBaseTransport):
    """Puts the token into the URL below the client, because the client logs the URLs of its requests."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, token: SecretStr) -> None:
        self._inner = inner
        self._token = token

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url.copy_with(path=request.url.path.replace(_HIDDEN, self._token.get_secret_value(), 1))
        secret = httpx2.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        return await self._inner.handle_async_request(secret)

    async def aclose(self) -> None:
        await self._inner.aclose()


class TelegramApi:
    """One bot. Connections are opened at the first call and released by `aclose`."""

    def __init__(self, *, token: SecretStr, base_url: str) -> None:
        self._token = token
        self._base_url = base_url.rstrip("/")
        self._client: httpx2.AsyncClient | None = None

    async def call(
        self, method: str, arguments: Mapping[str, JsonValue] | None = None, *, extra_seconds: float = 0.0
    ) -> JsonValue:
        """The `result` of a Bot API method. Raises the kind of `NotifierError` that tells what to do."""
        timeout = httpx2.Timeout(_CALL_TIMEOUT.connect, read=15.0 + extra_seconds)
        try:
            response = await self._connected().post(
                f"{self._base_url}/bot{_HIDDEN}/{method}", json=dict(arguments or {}), timeout=timeout
            )
        except httpx2.HTTPError as error:
            # `from None`: the cause refers to the request that was really sent, and its URL holds the token.
            raise DeliveryFailed(f"telegram: {method} failed: {type(error).__name__}") from None
        return _result(method, response.status_code, response.content)

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            transport = _TokenTransport(httpx2.AsyncHTTPTransport(), self._token)
            self._client = httpx2.AsyncClient(transport=transport, timeout=_CALL_TIMEOUT)
        return self._client


def _result(method: str, status: int, content: bytes) -> JsonValue:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise DeliveryFailed(f"telegram: {method} answered {status} without JSON") from None
    if not isinstance(document, dict):
        raise DeliveryFailed(f"telegram: {method} answered {status} with JSON that is no object")
    answer = cast("dict[str, JsonValue]", document)
    if answer.get("ok") is True:
        return answer.get("result")
    description = str(answer.get("description", ""))[:200]
    raise _failure(method, status, description, answer.get("parameters"))


def _failure(method: str, status: int, description: str, parameters: JsonValue) -> Exception:
    message = f"telegram: {method} answered {status}: {description}"
    folded = description.casefold()
    match status:
        case 429:
            seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
            return ChannelBusy(CHANNEL, float(seconds) if isinstance(seconds, int | float) else 5.0)
        case 409:
            return PollingConflict(
                f"{message}. Stop the other receiver of this bot, or give this server its own."
            )
        case 401 | 403 | 404:
            return ChannelUnauthorized(
                f"{message}. Check HITL_TELEGRAM__BOT_TOKEN and that the bot is in the chat."
            )
        case 400 if "message is not modified" in folded:
            return NothingChanged(message)
        case 400 if any(words in folded for words in _GONE):
            return CardGone(message)
        case 400 if any(words in folded for words in _UNAUTHORIZED):
            return ChannelUnauthorized(f"{message}. Check HITL_TELEGRAM__CHAT_ID.")
        case 400 | 413:
            return CardRefused(message)
        case _:
            return DeliveryFailed(message)
