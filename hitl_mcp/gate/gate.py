"""`ApprovalGate`: the approval engine as a library, for programs that are no MCP clients.

    async with open_gate("report-robot") as gate:

        @gate.requires_approval(risk="high")
        async def send_report(to: str, text: str) -> None: ...

        await send_report("board@example.com", "…")

An act is done once, with exactly what was approved, and only after its approval was used up durably.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from hitl_contract.action import Action, action_digest, parse_action
from hitl_mcp.approvals.models import RequestStatus, RiskLevel, Submission, Verdict
from hitl_mcp.gate.engine import ApprovalEngine
from hitl_mcp.gate.errors import (
    ApprovalDenied,
    ApprovalTimedOut,
    EngineUnavailable,
    NotPossible,
    PolicyNotMet,
)
from hitl_mcp.gate.events import Denied, EventHub, GateEvent, Handler, Received, Requested, TimedOut
from hitl_mcp.gate.functions import FunctionCalls
from hitl_mcp.gate.journal import Journal
from hitl_mcp.gate.steps import RunOutcome, Step, run_steps
from hitl_mcp.gate.values import ApprovalPolicy, GateRequest, SpentAction
from server_kit.identifiers import new_identifier

ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")

_RETRY_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 7 * 24 * 3600.0
_MOST_REMEMBERED: Final = 10_000


class ApprovalGate:
    """Asks for approvals in the name of one agent. `runs` is the directory of the journals of `run`."""

    def __init__(self, engine: ApprovalEngine, *, runs: Path, policy: ApprovalPolicy | None = None) -> None:
        self._engine = engine
        self._runs = runs
        self._policy = policy or ApprovalPolicy()
        self._hub = EventHub()
        self._asked: dict[str, str] = {}

    async def create_request(
        self,
        action: Action | Mapping[str, object],
        *,
        reason: str | None = None,
        risk: RiskLevel | str | None = None,
        policy: ApprovalPolicy | None = None,
        idempotency_key: str | None = None,
    ) -> GateRequest:
        """Ask for approval, or find the request that asks for the same already. Durable when it returns.

        Raises:
            InvalidAction: the action is not one.
            PolicyNotMet: the rules ask for fewer people than the policy; the request was cancelled.
            EngineRefused, EngineUnavailable: it was not asked.
        """
        policy = policy or self._policy
        stated = parse_action(dict(action)) if isinstance(action, Mapping) else action
        request = await self._engine.submit(
            Submission(
                action=stated,
                justification=reason or policy.reason,
                risk_level=None if risk is None else RiskLevel(risk),
                timeout_seconds=policy.timeout_seconds,
                idempotency_key=idempotency_key,
            )
        )
        self._remember(request, stated)
        await self._hub.emit(Requested(request))
        required = policy.required_approvers or 0
        denied = request.status is RequestStatus.DENIED
        if request.required_approvals < required and not denied:
            if not request.ended:
                request = await self._engine.cancel(request.request_id, "fewer approvers than are wanted")
            raise PolicyNotMet(request, required)
        return request

    async def wait_for_approval(
        self, request_id: str, *, timeout_seconds: float | None = None
    ) -> GateRequest:
        """The request once it has ended, or as it is after `timeout_seconds`. An outage is waited out.

        Raises:
            EngineUnavailable: there was no answer in all that time.
            EngineRefused: there is no such request.
        """
        longest = _LONGEST_WAIT_SECONDS if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + longest
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                request = await self._engine.wait(request_id, left)
            except EngineUnavailable:
                if left <= _RETRY_SECONDS:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if request.ended:
                self._asked.pop(request_id, None)
                await self._hub.emit(_ending(request))
                return request
            if time.monotonic() >= deadline:
                return request

    async def approve(
        self,
        action: Action | Mapping[str, object],
        *,
        reason: str | None = None,
        risk: RiskLevel | str | None = None,
        policy: ApprovalPolicy | None = None,
    ) -> SpentAction:
        """Ask, wait, and use the approval up: what this returns is to be done now, once.

        Raises:
            ApprovalDenied, ApprovalTimedOut, PolicyNotMet: it must not be done.
            AlreadyUsed: another process was attached to the same request and used it first; ask again.
            EngineRefused, EngineUnavailable: it was not asked, or not answered.
        """
        stated = parse_action(dict(action)) if isinstance(action, Mapping) else action
        policy = policy or self._policy
        if not policy.enabled:
            return SpentAction(stated, None)
        request = await self.create_request(stated, reason=reason, risk=risk, policy=policy)
        request = await self.wait_for_approval(request.request_id, timeout_seconds=policy.timeout_seconds)
        if request.status in {RequestStatus.PENDING, RequestStatus.TIMEOUT}:
            raise ApprovalTimedOut(request)
        if request.status is not RequestStatus.APPROVED:
            raise ApprovalDenied(request)
        use = new_identifier("use")
        return SpentAction(await self._engine.spend(request.request_id, use), request.request_id)

    async def respond_to_request(
        self,
        request_id: str,
        verdict: Verdict | str,
        *,
        person: str,
        password: str,
        reason: str | None = None,
        action_digest: str | None = None,
    ) -> GateRequest:
        """Decide as a person. An agent's credential never decides: a gate on a server elsewhere cannot.

        `action_digest` is that of the action which the person saw (`GateRequest.action_digest`). Without it
        they decide on what this gate asked for, as it asked. An action that was edited since is not decided.

        Raises NotPossible, SignInRefused, TooManyAttempts, EngineRefused.
        """
        seen = action_digest or self._asked.get(request_id)
        if seen is None:
            raise NotPossible(
                f"This gate did not ask for request {request_id[:80]!r}, so it cannot know which wording the "
                "person saw. Show them the action, and give its digest as action_digest."
            )
        decided = await self._engine.respond(
            request_id, Verdict(verdict), seen, person=person, password=password, reason=reason
        )
        if decided.ended:
            self._asked.pop(request_id, None)
        return decided

    async def get_pending_requests(self) -> tuple[GateRequest, ...]:
        """What waits for a decision, newest first."""
        return await self._engine.pending()

    async def cancel_request(self, request_id: str, *, reason: str | None = None) -> GateRequest:
        """Withdraw a pending request. Raises EngineRefused when it has ended."""
        self._asked.pop(request_id, None)
        return await self._engine.cancel(request_id, reason)

    def requires_approval(
        self,
        *,
        risk: RiskLevel | str,
        reason: str | None = None,
        policy: ApprovalPolicy | None = None,
        server: str = "python",
    ) -> Callable[[Callable[ParametersT, Awaitable[ResultT]]], Callable[ParametersT, Awaitable[ResultT]]]:
        """Decorator: each call of an async function is asked about, and done once with what was approved.

        The action is a `tool_call` of `server` with the function's name and all its arguments, which have to
        be plain JSON. The function gets them as approved: a copy, in which 2.0 is 2.

        The decorated function raises TypeError for other arguments, and what `approve` raises.
        """

        def decorate(
            function: Callable[ParametersT, Awaitable[ResultT]],
        ) -> Callable[ParametersT, Awaitable[ResultT]]:
            calls = FunctionCalls(function, server)

            @functools.wraps(function)
            async def gated(*positional: ParametersT.args, **named: ParametersT.kwargs) -> ResultT:
                action = calls.action_of(positional, named)
                approved = await self.approve(action, reason=reason, risk=risk, policy=policy)
                arguments, keywords = calls.arguments_of(approved.action)
                return await function(*arguments, **keywords)  # pyright: ignore[reportCallIssue]

            return gated

        return decorate

    async def run(self, run_id: str, steps: Sequence[Step], *, retry_interrupted: bool = False) -> RunOutcome:
        """Do `steps` in order, each after its approval; what was done is kept when one is not approved.

        The same `run_id` again goes on where it stopped: what was done is not done or asked about again. A
        step that was cut off in the middle is reported as interrupted, and done again only with
        `retry_interrupted`, after a new approval.

        Raises:
            JournalRefused: the run is of other steps, is going on in another process, or its journal is
                damaged.
            Exception: whatever a step raises; the step counts as not done.
        """
        with Journal.open(self._runs, run_id) as journal:
            return await run_steps(self.approve, journal, steps, retry_interrupted=retry_interrupted)

    def on(self, handler: Handler) -> None:
        """Call `handler` (sync or async) with every event from now on."""
        self._hub.on(handler)

    def events(self) -> AsyncIterator[GateEvent]:
        """Every event from now on."""
        return self._hub.events()

    def _remember(self, request: GateRequest, stated: Action) -> None:
        if request.ended:
            return
        self._asked[request.request_id] = action_digest(stated)
        while len(self._asked) > _MOST_REMEMBERED:
            del self._asked[next(iter(self._asked))]


def _ending(request: GateRequest) -> GateEvent:
    match request.status:
        case RequestStatus.APPROVED:
            return Received(request)
        case RequestStatus.TIMEOUT:
            return TimedOut(request)
        case _:
            return Denied(request)
