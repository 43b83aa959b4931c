"""The story, step by step. Each step either shows that something holds or ends the story with its name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.demo.agent import McpAgent, connect_agent
from hitl_mcp.demo.failures import Declined, StepFailed, first_failure
from hitl_mcp.demo.narrator import Narrator
from hitl_mcp.demo.person import ApproverApi, sign_in
from hitl_mcp.demo.program import EXPECTED_RESULT, JUSTIFICATION, SUMMARY, approved_program
from hitl_mcp.demo.records import verify_records
from hitl_mcp.demo.refusals import agent_cannot_decide, show_refusals, unspent_token
from hitl_mcp.demo.world import AGENT, PERSON, World
from hitl_mcp.terminal.cards import RequestCard, card_from_json, render_card

REFUSALS_AT_EXECUTOR: Final = 5
WAIT_FOR_DECISION_SECONDS: Final = 600
_PENDING_SECONDS: Final = 20.0

Decider = Callable[[RequestCard], Awaitable[bool]]


@dataclass(frozen=True)
class Cast:
    """Who takes part: the agent at both servers, and the person."""

    agent: McpAgent
    executor: McpAgent
    approver: ApproverApi


class Story:
    """Tells the story on one world. `decide` is asked y or n, once, with the card as the person sees it."""

    def __init__(self, world: World, narrator: Narrator, decide: Decider) -> None:
        self._world = world
        self._tell = narrator
        self._decide = decide

    async def run(self) -> None:
        """
        Raises:
            StepFailed: something did not hold.
            Declined: the person said no.
        """
        with first_failure():
            async with (
                connect_agent(self._world.approval_url, api_key=self._world.agent_key) as agent,
                connect_agent(self._world.executor_url, api_key=None) as executor,
                sign_in(self._world.approval_url, PERSON, self._world.password) as approver,
            ):
                await self._act(Cast(agent, executor, approver))
        self._tell.chapter(5, "The record")
        await verify_records(self._world, self._tell, refusals=REFUSALS_AT_EXECUTOR)

    async def _act(self, cast: Cast) -> None:
        token = await self._ask_and_decide(cast)
        execution = await self._run(cast, token)
        self._tell.chapter(4, "Nothing else works")
        self._tell.say(("A second request is approved, and its token is left unused.", "dim"))
        unspent = await unspent_token(cast.agent, cast.approver)
        await show_refusals(cast.executor, self._tell, spent=token, unspent=unspent, execution=execution)

    async def _ask_and_decide(self, cast: Cast) -> str:
        self._tell.chapter(1, "An agent asks")
        self._tell.say(
            (AGENT, "bold"), " calls ", ("request_approval", "cyan"), " over MCP and waits for the answer."
        )
        asked = asyncio.create_task(
            cast.agent.call(
                "request_approval",
                {
                    "action": approved_program(),
                    "justification": JUSTIFICATION,
                    "summary": SUMMARY,
                    "risk_level": "low",
                    "wait_seconds": WAIT_FOR_DECISION_SECONDS,
                },
            )
        )
        try:
            request_id = await _pending_request(cast.approver, asked)
            card = card_from_json(await cast.approver.read(request_id))
            self._tell.held_true("The request is stored, and the agent is held without a token")
            self._tell.chapter(2, "A person decides")
            self._tell.show(render_card(card, now=datetime.now(UTC)))
            await agent_cannot_decide(self._world, self._tell, card)
            approved = await self._decide(card)
            verdict, reason = ("approve", None) if approved else ("deny", "Not this time.")
            decided_at = time.monotonic()
            await cast.approver.decide(
                card.request_id, verdict, action_digest=card.action_digest, reason=reason
            )
            async with asyncio.timeout(_PENDING_SECONDS):
                answer = await asked
        finally:
            asked.cancel()
        return self._after_decision(answer, approved=approved, waited=time.monotonic() - decided_at)

    def _after_decision(self, answer: dict[str, Any], *, approved: bool, waited: float) -> str:
        token: str | None = answer.get("capability_token")
        if not approved:
            if answer["status"] != RequestStatus.DENIED or token:
                raise StepFailed("a denial gives no token", f"the agent was told {answer['status']}")
            self._tell.held_true(
                "The agent was told no, with the reason, and got no token", answer["next_step"]
            )
            raise Declined(
                "You said no, so nothing ran. Run the demonstration again and say y to see the rest."
            )
        if answer["status"] != RequestStatus.APPROVED or not token:
            raise StepFailed("an approval mints a token", f"the agent was told {answer['status']}")
        self._tell.held_true(
            f"{PERSON} approved; the waiting agent had its token {waited * 1000:.0f} ms later",
            "a signed capability for this one digest, good for one run",
        )
        return token

    async def _run(self, cast: Cast, token: str) -> dict[str, Any]:
        self._tell.chapter(3, "The program runs, once")
        self._tell.say(
            "The agent gives the token alone to ",
            ("execute", "cyan"),
            "; the executor reads the program by its digest.",
        )
        shown = _StreamedOutput(self._tell)
        execution = await cast.executor.call(
            "execute", {"capability_token": token, "wait_seconds": 60}, on_progress=shown.progress
        )
        streamed = shown.finish(execution["stdout"])
        step = "The approved program ran in the sandbox"
        if execution["status"] != "completed" or execution["result"] != EXPECTED_RESULT:
            raise StepFailed(
                step, f"{execution['status']}: {execution.get('detail') or execution['stderr'][-300:]}"
            )
        sandbox = execution["sandbox"]
        self._tell.held_true(
            f"{step} ({sandbox['backend']}) in {execution['duration_seconds']:.1f} s",
            f"result {execution['result']}",
        )
        if not streamed:
            raise StepFailed("its output streams while it runs", "none came before the end")
        self._tell.held_true("Its output streamed to the agent while it ran")
        return execution


class _StreamedOutput:
    """Shows the program's lines as they come in, and at its end those that had not come."""

    def __init__(self, narrator: Narrator) -> None:
        self._tell = narrator
        self._shown: list[str] = []

    def progress(self, message: str) -> None:
        for line in message.splitlines():
            stream, separator, text = line.partition(": ")
            if separator and stream in {"stdout", "stderr"}:
                self._shown.append(text)
                self._tell.output(text)

    def finish(self, output: str) -> bool:
        """Whether any line came while the program ran."""
        streamed = bool(self._shown)
        if not streamed:
            for line in output.splitlines():
                self._tell.output(line)
        return streamed


async def _pending_request(approver: ApproverApi, asked: asyncio.Task[dict[str, Any]]) -> str:
    """The id of the one request that waits, as the person's inbox shows it."""
    deadline = time.monotonic() + _PENDING_SECONDS
    while time.monotonic() < deadline:
        if asked.done():
            answer = asked.result()
            raise StepFailed(
                "the agent waits for a person", f"it was answered {answer.get('status')} at once"
            )
        if pending := await approver.pending():
            return str(pending[0]["request_id"])
        await asyncio.sleep(0.05)
    raise StepFailed("the request reaches the person", f"nothing was pending after {_PENDING_SECONDS:.0f} s")
