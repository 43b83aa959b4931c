"""What a rule says about an action becomes the terms of a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from hitl_mcp.approvals.models import (
    DEFAULT_TIMEOUT_SECONDS,
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    RequestStatus,
    Submission,
)
from hitl_mcp.approvals.ports import ApprovalPorts
from hitl_mcp.approvals.terms import OnTimeout, RuleVerdict, Ruling, Terms

MAX_SEATS: Final = 32
"""Most approvals that a request may need: as many as a capability token names."""
_MAX_TEXT: Final = 2000
_MAX_RULE_NAME: Final = 200
_STATUS: Final = {
    RuleVerdict.ALLOW: RequestStatus.APPROVED,
    RuleVerdict.ASK: RequestStatus.PENDING,
    RuleVerdict.DENY: RequestStatus.DENIED,
}


@dataclass(frozen=True, slots=True)
class Ruled:
    """A ruling as a request keeps it: nobody is asked unless it asks, and asking asks somebody."""

    ruling: Ruling

    @property
    def status(self) -> RequestStatus:
        """What a new request starts as."""
        return _STATUS[self.ruling.verdict]

    def lifetime(self, asked_seconds: int | None) -> timedelta:
        """How long people may take: what the agent asks for, at most what the rule gives.

        Where silence approves, the agent has no say: it could cut the time in which somebody may deny.
        """
        terms = self.ruling.terms
        if terms.timeout_seconds is None:
            given = asked_seconds or DEFAULT_TIMEOUT_SECONDS
        else:
            given = min(asked_seconds or terms.timeout_seconds, terms.timeout_seconds)
        if terms.on_timeout is OnTimeout.UNSAFE_AUTO_APPROVE:
            given = terms.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
        return timedelta(seconds=min(max(given, MIN_TIMEOUT_SECONDS), MAX_TIMEOUT_SECONDS))


class Rulings:
    """Asks, in this order: who the agent is, how risky this is, and which rule applies."""

    def __init__(self, ports: ApprovalPorts) -> None:
        self._ports = ports

    async def on(self, agent: str, submission: Submission) -> Ruled:
        facts = await self._ports.agents.facts(agent)
        risk = await self._ports.risk.assess(facts, submission)
        return Ruled(_sound(await self._ports.policy.evaluate(facts, submission, risk)))


def _sound(ruling: Ruling) -> Ruling:
    terms = ruling.terms
    if ruling.verdict is not RuleVerdict.ASK:
        terms = Terms(stages=())
    elif any(not stage.quorums for stage in terms.stages) or not 1 <= _seats(terms) <= MAX_SEATS:
        # A rule that asks nobody must not approve by that, and one that asks too many could not be kept.
        return replace(
            ruling,
            verdict=RuleVerdict.DENY,
            terms=Terms(stages=()),
            explanation=f"The rule {ruling.rule} asks for approval by nobody, or by more than {MAX_SEATS}.",
        )
    risk = ruling.risk
    votes = tuple(replace(vote, reason=storable(vote.reason)) for vote in risk.votes)
    return replace(
        ruling,
        terms=terms,
        rule=storable(ruling.rule)[:_MAX_RULE_NAME],
        explanation=storable(ruling.explanation),
        risk=replace(risk, votes=votes),
    )


def _seats(terms: Terms) -> int:
    counts = [quorum.count for stage in terms.stages for quorum in stage.quorums]
    return sum(counts) if counts and min(counts) >= 1 else 0


def storable(text: str) -> str:
    """The text as both databases and a seal can hold it, cut to 2,000 characters."""
    return text[:_MAX_TEXT].replace("\x00", "\\0").encode("utf-8", "replace").decode("utf-8")
