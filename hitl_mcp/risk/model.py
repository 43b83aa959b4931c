"""A language model behind the OpenAI-compatible API, as one more assessor.

What an agent writes reaches the model, so the model may be talked into anything. That is why its vote can
only raise the level, as the consensus has it for every vote, and why nothing but a level and one sentence is
taken from its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.risk.assessor import Opinion
from hitl_mcp.risk.errors import AssessorUnavailable
from hitl_mcp.risk.model_dialogue import opinion_in, question
from hitl_mcp.risk.settings import ModelSettings

_MAX_ANSWER_BYTES: Final = 65_536
_OK: Final = 200
_PLAIN: Final = {"accept": "application/json", "accept-encoding": "identity"}


class ModelVote:
    """Asks the model about every action. Neither its credential nor its answer's text is ever logged."""

    name = "model"
    essential = False

    def __init__(self, settings: ModelSettings, client: httpx2.AsyncClient) -> None:
        self._settings = settings
        self._client = client

    def at_once(self, agent: AgentFacts, submission: Submission) -> None:
        """Nothing: a model is always waited for."""

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:  # noqa: ARG002 - the protocol's signature
        body = question(self._settings.model, submission.action)
        bound = self._settings.timeout_seconds
        url = f"{self._settings.base_url}/chat/completions"
        try:
            async with (
                # The client's own bound is one for each read: a trickle would never reach it.
                asyncio.timeout(bound),
                self._client.stream("POST", url, json=body, headers=_PLAIN) as response,
            ):
                if response.status_code != _OK:
                    raise AssessorUnavailable(f"the model's endpoint answered with {response.status_code}")
                return opinion_in(await _bounded(response))
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise AssessorUnavailable(f"the model's endpoint did not answer within {bound:g} s") from error
        except httpx2.HTTPError as error:
            raise AssessorUnavailable("the model's endpoint cannot be reached") from error


@asynccontextmanager
async def model_vote(settings: ModelSettings) -> AsyncGenerator[ModelVote]:
    """The assessor, with a client that follows no redirects: they would carry the action elsewhere."""
    headers: dict[str, str] = {}
    if settings.api_key is not None:
        headers["authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    async with httpx2.AsyncClient(
        headers=headers, timeout=settings.timeout_seconds, follow_redirects=False
    ) as client:
        yield ModelVote(settings, client)


async def _bounded(response: httpx2.Response) -> bytes:
    # A few compressed bytes may unpack to all memory; plain ones were asked for.
    if response.headers.get("content-encoding", "identity") != "identity":
        raise AssessorUnavailable("the model's answer is compressed, which was not asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            raise AssessorUnavailable(f"the model's answer is longer than {_MAX_ANSWER_BYTES:,} bytes")
    return bytes(body)
