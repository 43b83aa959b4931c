"""Slack's Web API through slack-sdk, with its errors told apart. Source: https://docs.slack.dev/apis/web-
api/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import cast

import aiohttp
from pydantic import JsonValue
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from hitl_mcp.notifiers.errors import CardGone, CardRefused, ChannelBusy, ChannelUnauthorized, DeliveryFailed
from hitl_mcp.notifiers.settings import SlackSettings

CHANNEL = "slack"
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_UNAUTHORIZED = frozenset(
    {
        "access_denied",
        "account_inactive",
        "channel_not_found",
        "ekm_access_denied",
        "invalid_auth",
        "is_archived",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "not_in_channel",
        "org_login_required",
        "restricted_action",
        "token_expired",
        "token_revoked",
    }
)
_GONE = frozenset(
    {
        "cant_update_message",
        "edit_window_closed",
        "message_not_found",
        "thread_not_found",
        "cannot_reply_to_message",
    }
)
_REFUSED = frozenset(
    {
        "block_mismatch",
        "invalid_arguments",
        "invalid_blocks",
        "invalid_blocks_format",
        "metadata_too_large",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "too_many_attachments",
    }
)


class SlackApi:
    """One app in one workspace. Connections are opened at the first call and released by `aclose`."""

    def __init__(self, settings: SlackSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, method: str, arguments: Mapping[str, JsonValue] | None = None
    ) -> dict[str, JsonValue]:
        """A Web API method as the bot. Raises the kind of `NotifierError` that tells what to do."""
        return await self._call(self._settings.bot_token.get_secret_value(), method, arguments or {})

    async def open_socket(self) -> aiohttp.ClientWebSocketResponse:
        """A new Socket Mode connection. Its URL is a ticket good for one use and is shown nowhere."""
        answer = await self._call(self._settings.app_token.get_secret_value(), "apps.connections.open", {})
        url = answer.get("url")
        if not isinstance(url, str):
            raise DeliveryFailed("slack: apps.connections.open answered without a URL")
        try:
            return await self._connected().ws_connect(url, heartbeat=10.0, max_msg_size=1024 * 1024)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # `from None`: the cause names the URL, which is a credential.
            raise DeliveryFailed(f"slack: Socket Mode did not open: {type(error).__name__}") from None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _call(
        self, token: str, method: str, arguments: Mapping[str, JsonValue]
    ) -> dict[str, JsonValue]:
        client = AsyncWebClient(
            token=token,
            base_url=str(self._settings.api_url),
            session=self._connected(),
            # Retries belong to the outbox, which remembers them; those of the client would hide a 429 from
            # it.
            retry_handlers=[],
            logger=_silent_logger(),
        )
        try:
            response = await client.api_call(  # pyright: ignore[reportUnknownMemberType]
                method, json=dict(arguments)
            )
        except SlackApiError as error:
            raise _failure(method, error) from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryFailed(f"slack: {method} failed: {type(error).__name__}") from None
        data = cast("object", response.data)  # pyright: ignore[reportUnknownMemberType]
        if not isinstance(data, dict):
            raise DeliveryFailed(f"slack: {method} answered something that is no object")
        return cast("dict[str, JsonValue]", data)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self._session


def _silent_logger() -> logging.Logger:
    # The client logs requests with their bodies, thus code, and answers, thus the socket's URL.
    logger = logging.Logger("slack_sdk.silenced", level=logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger


def _failure(method: str, error: SlackApiError) -> Exception:
    response = cast("object", error.response)  # pyright: ignore[reportUnknownMemberType]
    status = getattr(response, "status_code", getattr(response, "status", 0))
    headers = cast("Mapping[str, str]", getattr(response, "headers", {}))
    data = getattr(response, "data", None)
    code = str(cast("dict[str, JsonValue]", data).get("error", "")) if isinstance(data, dict) else ""
    message = f"slack: {method} answered {status} {code[:80]}".rstrip()
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return ChannelBusy(CHANNEL, _seconds(headers.get("Retry-After")))
    if code in _UNAUTHORIZED:
        return ChannelUnauthorized(
            f"{message}. Check HITL_SLACK__BOT_TOKEN, HITL_SLACK__APP_TOKEN, HITL_SLACK__CHANNEL, "
            "the app's scopes, and that the bot is in the channel."
        )
    if code in _GONE:
        return CardGone(message)
    if code in _REFUSED:
        return CardRefused(message)
    return DeliveryFailed(message)


def _seconds(value: str | None) -> float:
    try:
        return max(0.0, float(value or ""))
    except ValueError:
        return 30.0
