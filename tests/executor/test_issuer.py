"""Reading the issuer's keys and actions: over real HTTP and from files, bounded, refreshed, never trusted too
long.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send

from executor_mcp.bounded_fetch import FetchFailed, fetch
from executor_mcp.errors import ActionSourceUnavailable, KeySourceUnavailable
from executor_mcp.issuer_actions import IssuerActions, NoActionSource
from executor_mcp.issuer_keys import FetchedKeys, FileKeys, named_key
from hitl_contract.action import action_digest, canonical_action, parse_action
from tests.emulators.http_service import HttpService, serving
from tests.executor.support import PROGRAM, Issuer


@dataclass
class Answers(HttpService):
    """A server that answers what it is told to."""

    status: int = 200
    body: bytes = b"{}"
    stall: bool = False
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode()
        self.asked.append((scope["path"], authorization))
        if self.stall:
            await receive()
            await receive()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest_asyncio.fixture
async def answers() -> AsyncIterator[Answers]:
    async with serving(Answers()) as served:
        yield served


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as made:
        yield made


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_asked_for_once_and_again_when_an_unknown_one_is_named(
    answers: Answers, client: httpx2.AsyncClient
) -> None:
    first, second, seconds = Issuer(), Issuer(), Seconds()
    source = FetchedKeys(f"{answers.url}/jwks", client, monotonic=seconds)
    answers.body = json.dumps(first.jwks()).encode()
    for _ in range(3):
        assert (await source.keys(first.key_id)).get(first.key_id) is not None
    assert len(answers.asked) == 1

    answers.body = json.dumps(second.jwks()).encode()
    assert (await source.keys(second.key_id)).get(second.key_id) is None
    seconds.now += 6
    assert (await source.keys(second.key_id)).get(second.key_id) is not None
    assert (await source.keys(second.key_id)).get(first.key_id) is None
    assert len(answers.asked) == 2


async def test_forged_key_ids_do_not_make_the_executor_hammer_the_issuer(
    answers: Answers, client: httpx2.AsyncClient
) -> None:
    answers.body = json.dumps(Issuer().jwks()).encode()
    source = FetchedKeys(f"{answers.url}/jwks", client, monotonic=Seconds())

    await asyncio.gather(*(source.keys(f"forged-{number}") for number in range(50)))

    assert len(answers.asked) == 1


async def test_those_who_wait_for_an_issuer_that_is_too_slow_do_not_each_wait_their_own_turn() -> None:
    seconds = Seconds()
    asked: list[str] = []

    async def stall(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        await asyncio.sleep(0)
        seconds.now += 5.0
        raise httpx2.ReadTimeout("too slow")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(stall)) as client:
        source = FetchedKeys("http://issuer.test/jwks", client, monotonic=seconds)
        answers = await asyncio.gather(*(source.keys("key") for _ in range(20)), return_exceptions=True)

    assert all(isinstance(answer, KeySourceUnavailable) for answer in answers)
    assert len(asked) == 1


async def test_keys_that_cannot_be_refreshed_are_trusted_for_a_while_and_then_not(
    answers: Answers, client: httpx2.AsyncClient
) -> None:
    issuer, seconds = Issuer(), Seconds()
    answers.body = json.dumps(issuer.jwks()).encode()
    source = FetchedKeys(f"{answers.url}/jwks", client, monotonic=seconds)
    await source.keys(None)
    answers.status = 500
    seconds.now += 600
    assert (await source.keys(None)).get(issuer.key_id) is not None
    seconds.now += 400
    with pytest.raises(KeySourceUnavailable, match="500"):
        await source.keys(None)
    answers.status = 200
    seconds.now += 6
    assert await source.keys(None)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 1}', b"\xff", b"[" * 50_000, b"x" * 70_000])
async def test_what_is_no_key_set_is_not_trusted(
    answers: Answers, client: httpx2.AsyncClient, body: bytes
) -> None:
    answers.body = body
    with pytest.raises(KeySourceUnavailable):
        await FetchedKeys(f"{answers.url}/jwks", client).keys(None)


async def test_a_key_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    first, second, path = Issuer(), Issuer(), tmp_path / "jwks.json"
    path.write_text(json.dumps(first.jwks()))
    source = FileKeys(path)
    assert (await source.keys(None)).get(first.key_id) is not None
    path.write_text(json.dumps(second.jwks()) + " ")
    assert (await source.keys(None)).get(first.key_id) is None
    path.unlink()
    with pytest.raises(KeySourceUnavailable):
        await source.keys(None)


async def test_an_action_is_read_by_its_digest_with_the_token_as_the_credential(
    answers: Answers, client: httpx2.AsyncClient
) -> None:
    action = parse_action(PROGRAM)
    answers.body = canonical_action(action)
    found = await IssuerActions(f"{answers.url}/", client).action(action_digest(action), token="the-token")

    assert found == action
    assert answers.asked == [(f"/api/v1/actions/{action_digest(action)}", "Bearer the-token")]


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"{}"), (302, b""), (200, b"{}"), (200, b"no"), (200, b" " * 9_000_000)]
)
async def test_an_action_that_is_missing_redirected_malformed_or_too_large_is_not_taken(
    answers: Answers, client: httpx2.AsyncClient, status: int, body: bytes
) -> None:
    answers.status, answers.body = status, body
    answers.headers = [(b"location", answers.url.encode())]
    with pytest.raises(ActionSourceUnavailable):
        await IssuerActions(answers.url, client).action("sha-256:x", token="t")
    assert len(answers.asked) == 1


async def test_an_issuer_that_does_not_answer_is_given_up_after_the_timeout(
    answers: Answers, client: httpx2.AsyncClient
) -> None:
    answers.stall = True
    with pytest.raises(FetchFailed, match="no answer within"):
        await fetch(client, answers.url, limit=10, timeout_seconds=0.1)


async def test_an_issuer_that_is_not_there_is_said_to_be_away(client: httpx2.AsyncClient) -> None:
    with pytest.raises(FetchFailed, match="ConnectError"):
        await fetch(client, "http://127.0.0.1:1/", limit=10)
    with pytest.raises(ActionSourceUnavailable):
        await NoActionSource().action("sha-256:x", token="t")


@pytest.mark.parametrize(
    "token", ["", "a.b.c", "e30.e30.e30", "W10.x.y", "x" * 9000, "ü.b.c", "eyJraWQiOjF9.b.c"]
)
def test_a_token_that_names_no_key_names_none(token: str) -> None:
    assert named_key(token) is None


def test_the_key_that_a_token_names_is_read_without_trusting_it() -> None:
    issuer = Issuer()
    token: Any = issuer.token()
    assert named_key(token) == issuer.key_id
