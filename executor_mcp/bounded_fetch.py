"""GET, or POST of a JSON value, with bounds on size and time; redirects are not followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx2

TIMEOUT_SECONDS = 5.0


class FetchFailed(Exception):
    """The answer did not come, was too large, or was no success.

    `status` is the HTTP status, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


async def fetch(
    client: httpx2.AsyncClient,
    url: str,
    *,
    limit: int,
    headers: Mapping[str, str] | None = None,
    question: Mapping[str, object] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> bytes:
    """The body of a 200 answer of at most `limit` bytes within `timeout_seconds` in all.

    With a `question`, which is sent as JSON, it is a POST, and else a GET.

    Raises:
        FetchFailed: saying which bound or answer it was.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            method = "GET" if question is None else "POST"
            request = client.build_request(method, url, headers=dict(headers or {}), json=question)
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                if response.status_code != 200:
                    raise FetchFailed(f"answered {response.status_code}", status=response.status_code)
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > limit:
                        raise FetchFailed(f"answered more than {limit} bytes")
                return bytes(body)
            finally:
                await response.aclose()
    except TimeoutError as error:
        raise FetchFailed(f"no answer within {timeout_seconds:g} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise FetchFailed(type(error).__name__) from error
