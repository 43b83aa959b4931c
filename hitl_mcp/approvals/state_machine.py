"""The approval request's state machine: pure, no clock, no storage.

    PENDING -> APPROVED | DENIED | TIMEOUT | CANCELLED, and of a question -> ANSWERED

Rules, held for every event at every time:

1. A terminal state never changes.
2. At or after `expires_at` nothing happens to a pending request but its timeout, whatever comes first.
3. A timer before `expires_at` does nothing: silence ends a request only when its time is up, and then it is a
   timeout, unless the terms say `UnsafeAutoApproveOnTimeout` and nobody denied.
4. A denial ends it when there are enough of them; one is, unless the terms say otherwise.
5. An approval ends it when the quorum is reached, and leaves it pending before.
6. An edit leaves it pending.
7. Only an approved request can be revoked, once; revoking changes no state.
8. An answer ends it. That only questions are answered, and never approved, is for the caller to see to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from hitl_mcp.approvals.models import RequestStatus


@dataclass(frozen=True, slots=True)
class State:
    """All that a transition depends on. `revoked` is meaningful only while approved."""

    status: RequestStatus
    expires_at: datetime
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Approve:
    """An eligible person approves; `quorum_reached` counts this approval."""

    quorum_reached: bool


@dataclass(frozen=True, slots=True)
class Deny:
    """An eligible person denies; `enough` counts this denial."""

    enough: bool = True


@dataclass(frozen=True, slots=True)
class Edit:
    """An eligible person changes what is asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An eligible person answers a question."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The requesting agent or a person withdraws the request."""


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """A timer fired; perhaps early, perhaps late."""

    unsafe_auto_approve: bool = False


@dataclass(frozen=True, slots=True)
class Revoke:
    """A person withdraws an approval already given."""


Event = Approve | Deny | Edit | Answer | Cancel | DeadlineReached | Revoke


class RefusalReason(Enum):
    ENDED = auto()
    EXPIRED = auto()
    NOT_DUE = auto()
    NOT_APPROVED = auto()
    ALREADY_REVOKED = auto()


@dataclass(frozen=True, slots=True)
class Transition:
    """The event is accepted; `state` is what holds afterwards."""

    state: State


@dataclass(frozen=True, slots=True)
class Refusal:
    """The event changes nothing. EXPIRED also says that the request must now be recorded as timed out."""

    reason: RefusalReason


def transition(state: State, event: Event, now: datetime) -> Transition | Refusal:
    """What `event` does to `state` at `now`; never raises."""
    if isinstance(event, Revoke):
        return _revoke(state)
    if state.status.is_terminal:  # rule 1
        return Refusal(RefusalReason.ENDED)
    expired = now >= state.expires_at
    if isinstance(event, DeadlineReached):
        if not expired:  # rule 3
            return Refusal(RefusalReason.NOT_DUE)
        return _to(state, RequestStatus.APPROVED if event.unsafe_auto_approve else RequestStatus.TIMEOUT)
    if expired:  # rule 2
        return Refusal(RefusalReason.EXPIRED)
    if isinstance(event, Cancel):
        return _to(state, RequestStatus.CANCELLED)
    if isinstance(event, Answer):  # rule 8
        return _to(state, RequestStatus.ANSWERED)
    if isinstance(event, Deny):  # rule 4
        return _to(state, RequestStatus.DENIED if event.enough else RequestStatus.PENDING)
    if isinstance(event, Edit):  # rule 6
        return _to(state, RequestStatus.PENDING)
    return _to(state, RequestStatus.APPROVED if event.quorum_reached else RequestStatus.PENDING)  # rule 5


def _revoke(state: State) -> Transition | Refusal:
    if state.status is not RequestStatus.APPROVED:  # rule 7
        return Refusal(RefusalReason.NOT_APPROVED)
    if state.revoked:
        return Refusal(RefusalReason.ALREADY_REVOKED)
    return Transition(State(state.status, state.expires_at, revoked=True))


def _to(state: State, status: RequestStatus) -> Transition:
    return Transition(State(status, state.expires_at))
