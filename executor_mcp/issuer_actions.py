"""Reads an approved action by its digest from the server that issued the token."""

from __future__ import annotations

from typing import Protocol

import httpx2

from executor_mcp.bounded_fetch import FetchFailed, fetch
from executor_mcp.errors import ActionSourceUnavailable
from hitl_contract.action import MAX_ACTION_BYTES, Action, parse_action_json
from hitl_contract.errors import InvalidAction


class ActionSource(Protocol):
    """Content-addressed: what it returns is checked against the token's digest by the caller, whoever it came
    from.
    """

    async def action(self, digest: str, *, token: str) -> Action:
        """Raises ActionSourceUnavailable when it cannot be had."""
        ...


class IssuerActions:
    """`GET {issuer}/api/v1/actions/{digest}`, with the capability token as the credential."""

    def __init__(self, issuer_url: str, client: httpx2.AsyncClient) -> None:
        self._base = issuer_url.rstrip("/")
        self._client = client

    async def action(self, digest: str, *, token: str) -> Action:
        url = f"{self._base}/api/v1/actions/{digest}"
        try:
            data = await fetch(
                self._client, url, limit=MAX_ACTION_BYTES, headers={"Authorization": f"Bearer {token}"}
            )
            return parse_action_json(data)
        except FetchFailed as error:
            raise ActionSourceUnavailable(
                f"the approved action could not be read from {self._base}: {error}; "
                "send it as the argument action, exactly as it was approved"
            ) from error
        except InvalidAction as error:
            raise ActionSourceUnavailable(f"{self._base} answered something that is not an action") from error


class NoActionSource:
    """For an executor that was given no issuer address: every action must come with its call."""

    async def action(self, digest: str, *, token: str) -> Action:
        del digest, token
        raise ActionSourceUnavailable(
            "this executor has no issuer to read actions from (EXECUTOR_ISSUER_URL): send the argument action"
        )
