"""When something happens to a pending request by itself, and what: pure, no clock, no storage.

A request's deadlines are rows with the time at which to look at it. They follow from its sealed terms: what a
row that is due does is computed anew from them, so a row that is early, late, twice there or made up can do
nothing that the terms do not say.

1. At or after `expires_at` any deadline ends the request and does nothing else.
2. A deadline before its planned time is moved there; one that was not planned goes.
3. In quiet hours nobody is called: reminders wait for their end, and an escalation is shown on the cards at
   once but called out at the end. Critical risk knows no quiet hours; what would expire first cannot wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest
from hitl_mcp.approvals.quiet import quiet_until
from hitl_mcp.approvals.terms import EscalationLevel


class DeadlineKind(StrEnum):
    """EXPIRY ends a request, ESCALATION n asks its level n; REMINDER n and QUIET_END n call people."""

    EXPIRY = "expiry"
    ESCALATION = "escalation"
    REMINDER = "reminder"
    QUIET_END = "quiet-end"


@dataclass(frozen=True, slots=True)
class Deadline:
    """`name` is unique within the request: `expiry`, `reminder:2`. `attempts` to work it have failed."""

    request_id: str
    name: str
    due_at: datetime
    attempts: int = 0

    @property
    def kind(self) -> DeadlineKind | None:
        """None for a row that this release does not know."""
        try:
            return DeadlineKind(self.name.partition(":")[0])
        except ValueError:
            return None

    @property
    def number(self) -> int:
        """Which one of its kind, from 1; 0 for an expiry."""
        number = self.name.partition(":")[2]
        return int(number) if number.isdecimal() else 0


class Effect(StrEnum):
    """What a deadline that is due does."""

    NOTHING = "nothing"
    EXPIRE = "expire"
    ESCALATE = "escalate"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Firing:
    """`loud`: people are called, beyond the change on their cards. `move_to`: it stays, for that time."""

    effect: Effect
    loud: bool = False
    move_to: datetime | None = None


def plan(request: ApprovalRequest) -> tuple[Deadline, ...]:
    """All deadlines of a request from its creation on, whatever the time is now. Its expiry is the first.

    All others lie before the expiry, and no two calls at one time.
    """
    terms, request_id = request.terms, request.request_id
    expiry = Deadline(request_id, DeadlineKind.EXPIRY.value, request.expires_at)
    escalations = [
        Deadline(request_id, _name(DeadlineKind.ESCALATION, number), at)
        for number, at in enumerate((_after(request, level) for level in terms.escalation), 1)
        if at < request.expires_at
    ]
    ends = {held_until(request), *(_quiet_end(request, each.due_at) for each in escalations)}
    quiet_ends = [
        Deadline(request_id, _name(DeadlineKind.QUIET_END, number), at)
        for number, at in enumerate(sorted(at for at in ends if at is not None), 1)
    ]
    return (expiry, *escalations, *quiet_ends, *_reminders(request, {each.due_at for each in quiet_ends}))


def firing(request: ApprovalRequest, deadline: Deadline, now: datetime) -> Firing:
    """What `deadline`, which is due at `now`, does to this pending request."""
    if now >= request.expires_at:  # 1
        return Firing(Effect.EXPIRE)
    deadlines = plan(request)
    planned = next((each for each in deadlines if each.name == deadline.name), None)
    if planned is None:  # 2
        return Firing(Effect.NOTHING)
    if planned.due_at > now:
        return Firing(Effect.NOTHING, move_to=planned.due_at)
    end = _quiet_end(request, now)  # 3
    if deadline.kind is DeadlineKind.ESCALATION:
        called_later = any(each.kind is DeadlineKind.QUIET_END and each.due_at == end for each in deadlines)
        return Firing(Effect.ESCALATE, loud=not called_later)
    if end is not None:
        return Firing(Effect.NOTHING, move_to=end)
    return Firing(Effect.CALL, loud=True)


def held_until(request: ApprovalRequest) -> datetime | None:
    """Until when nobody is shown this request at all, because its rule lets low risk wait for the morning."""
    quiet = request.terms.quiet_hours
    if quiet is None or not quiet.holds_new or request.risk_level is not RiskLevel.LOW:
        return None
    return _quiet_end(request, request.created_at)


def levels_reached(request: ApprovalRequest, now: datetime) -> Sequence[EscalationLevel]:
    """The levels of escalation that are asked at `now`, in the order of the rule."""
    return [level for level in request.terms.escalation if _after(request, level) <= now]


def postponed(deadline: Deadline, now: datetime) -> Deadline:
    """A deadline that could not be worked, to be tried again: after 1 s, then longer, up to 5 minutes."""
    pause = timedelta(seconds=min(300, 2 ** min(deadline.attempts, 10)))
    return replace(deadline, due_at=now + pause, attempts=deadline.attempts + 1)


def _reminders(request: ApprovalRequest, taken: set[datetime]) -> list[Deadline]:
    reminders: list[Deadline] = []
    for number, seconds in enumerate(request.terms.reminders, 1):
        at = request.created_at + timedelta(seconds=seconds)
        due_at = quiet_until(request.terms.quiet_hours, at) if _keeps_quiet(request) else None
        due_at = due_at or at
        if due_at < request.expires_at and due_at not in taken:
            taken.add(due_at)
            reminders.append(Deadline(request.request_id, _name(DeadlineKind.REMINDER, number), due_at))
    return reminders


def _name(kind: DeadlineKind, number: int) -> str:
    return f"{kind.value}:{number}"


def _after(request: ApprovalRequest, level: EscalationLevel) -> datetime:
    return request.created_at + timedelta(seconds=level.after_seconds)


def _keeps_quiet(request: ApprovalRequest) -> bool:
    return request.risk_level is not RiskLevel.CRITICAL


def _quiet_end(request: ApprovalRequest, at: datetime) -> datetime | None:
    """The end of the quiet hours that hold at `at`; None when none do, or the request cannot wait for it."""
    if not _keeps_quiet(request):
        return None
    end = quiet_until(request.terms.quiet_hours, at)
    return end if end is not None and end < request.expires_at else None
