"""Runs steps that each need approval, and remembers in a journal how far it came.

A step goes: not there -> started (its approval used up) -> done, with its result. A crash in between leaves
it started: it may or may not have had its effect, so it is reported and never repeated by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue

from hitl_contract.action import Action, action_digest
from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_contract.errors import CanonicalizationError
from hitl_mcp.approvals.models import RiskLevel
from hitl_mcp.gate.errors import ApprovalDenied, ApprovalTimedOut, JournalRefused, NotAllowed
from hitl_mcp.gate.journal import Journal
from hitl_mcp.gate.values import SpentAction

Results = Mapping[str, JsonValue]
ActionOf = Callable[[Results], Action]


@dataclass(frozen=True, slots=True)
class Step:
    """`do` gets the action as approved and the results of the steps before; what it returns is plain JSON.

    `action` may be worked out from those results.
    """

    name: str
    action: Action | ActionOf
    do: Callable[[Action, Results], Awaitable[JsonValue]]
    reason: str | None = None
    risk: RiskLevel | None = None


class RunStatus(StrEnum):
    COMPLETED = "completed"
    DENIED = "denied"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How far a run came. `results` are of the steps that were done; `stopped_at` is the one that was not."""

    status: RunStatus
    results: Results
    stopped_at: str | None = None
    explanation: str = ""


class Approve(Protocol):
    """`ApprovalGate.approve`."""

    async def __call__(
        self, action: Action, *, reason: str | None, risk: RiskLevel | None
    ) -> SpentAction: ...


async def run_steps(
    approve: Approve, journal: Journal, steps: Sequence[Step], *, retry_interrupted: bool
) -> RunOutcome:
    """See `ApprovalGate.run`."""
    names = [step.name for step in steps]
    if len(set(names)) != len(names):
        raise JournalRefused("Two steps of the run have the same name.")
    results: dict[str, JsonValue] = {}
    for step in steps:
        asked = step.action(dict(results)) if callable(step.action) else step.action
        known = _last(journal, step.name)
        if known is not None and known["action_digest"] != action_digest(asked):
            raise JournalRefused(
                f"Step {step.name!r} of this run was begun with another action. Give the run a new id."
            )
        if known is not None and known["state"] == "done":
            results[step.name] = known["result"]
            continue
        if known is not None and known["state"] == "started" and not retry_interrupted:
            return RunOutcome(
                RunStatus.INTERRUPTED,
                results,
                step.name,
                "It was begun and cut off. Find out whether it had its effect before it is retried.",
            )
        try:
            results[step.name] = await _do(approve, journal, step, asked, results)
        except NotAllowed as refused:
            return _stopped(refused, step, results)
    return RunOutcome(RunStatus.COMPLETED, results)


async def _do(approve: Approve, journal: Journal, step: Step, asked: Action, results: Results) -> JsonValue:
    approved = await approve(asked, reason=step.reason, risk=step.risk)
    fact: dict[str, JsonValue] = {"step": step.name, "action_digest": action_digest(asked)}
    journal.append({**fact, "state": "started", "request_id": approved.request_id})
    try:
        result = await step.do(approved.action, dict(results))
        digest = digest_of_bytes(canonical_json(result))
    except CanonicalizationError as error:
        raise JournalRefused(
            f"What step {step.name!r} returned is not plain JSON ({error}). It counts as begun."
        ) from error
    except Exception:
        journal.append({**fact, "state": "failed"})
        raise
    journal.append({**fact, "state": "done", "result": result, "result_digest": digest})
    return journal.entries[-1]["result"]


def _last(journal: Journal, step: str) -> dict[str, JsonValue] | None:
    own = [entry for entry in journal.entries if entry.get("step") == step]
    if not own:
        return None
    entry = own[-1]
    same = digest_of_bytes(canonical_json(entry.get("result"))) == entry.get("result_digest")
    if entry.get("state") == "done" and not same:
        raise JournalRefused(f"The result of step {step!r} is not the one that was recorded.")
    return entry


def _stopped(refused: NotAllowed, step: Step, results: Results) -> RunOutcome:
    match refused:
        case ApprovalTimedOut():
            status = RunStatus.TIMED_OUT
        case ApprovalDenied():
            status = RunStatus.DENIED
        case _:
            raise refused
    return RunOutcome(status, results, step.name, str(refused))
