"""Names of the audit entries about a request, and of who acts in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

CREATED: Final = "request.created"
REATTACHED: Final = "request.reattached"
ALLOWED_BY_RULE: Final = "request.allowed_by_rule"
DENIED_BY_RULE: Final = "request.denied_by_rule"
APPROVED_BY_GRANT: Final = "request.approved_by_grant"
EDITED: Final = "request.edited"
DECIDED: Final = "request.decided"
DECISION_REFUSED: Final = "request.decision_refused"
ANSWERED: Final = "request.answered"
ANSWER_REFUSED: Final = "request.answer_refused"
ASKED_BACK: Final = "request.asked_back"
ASKED_BACK_REFUSED: Final = "request.asked_back_refused"
REPLIED: Final = "request.replied"
TIMED_OUT: Final = "request.timed_out"
ESCALATED: Final = "request.escalated"
REMINDED: Final = "request.reminded"
UNSAFELY_APPROVED_BY_TIMEOUT: Final = "request.unsafely_approved_by_timeout"
CANCELLED: Final = "request.cancelled"
REVOKED: Final = "request.revoked"
SPENT: Final = "request.spent"
CANARY_FILED: Final = "canary.filed"
"""Written when a canary has ended, and not before: it says that the request was a drill from the start."""
CANARY_CAUGHT: Final = "canary.caught"
CANARY_MISSED: Final = "canary.missed"
CANARY_LAPSED: Final = "canary.lapsed"
TOKEN_MINTED: Final = "token.minted"  # noqa: S105 - an event's name
TOKEN_REFUSED: Final = "token.refused"  # noqa: S105 - an event's name

DEADLINE_ACTOR: Final = "system:deadline"
CANARY_ACTOR: Final = "system:canary"

DEADLINES_KEY: Final = "deadlines"
"""Published when a deadline is stored that is due before whoever works deadlines asks for them again."""

DEADLINES_ASKED_AFTER: Final = timedelta(seconds=30)
"""Whoever works deadlines asks for them at least this often, and whenever the clock was set."""


def agent_actor(agent: str) -> str:
    return f"agent:{agent}"


def person_actor(person: str) -> str:
    return f"person:{person}"


def rule_actor(rule: str) -> str:
    return f"rule:{rule}"


def grant_actor(grant_id: str) -> str:
    return f"grant:{grant_id}"


def change_key(request_id: str) -> str:
    """The key under which every change of a request is published."""
    return f"request:{request_id}"
