"""Whether one person's verdict counts for a request as it stands: pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from hitl_mcp.approvals.ballots import ballots_of, electorate_of, review_start
from hitl_mcp.approvals.capacity import ActedAs, Capacity
from hitl_mcp.approvals.eligibility import acting_as
from hitl_mcp.approvals.errors import (
    AlreadyDecided,
    AlreadyEnded,
    ApprovalError,
    DigestChanged,
    InvalidSubmission,
    NotEligible,
    NotYourTurn,
    ReviewTooShort,
)
from hitl_mcp.approvals.models import DecisionInput, RequestRecord, Verdict
from hitl_mcp.approvals.quorum import Ballot, NoSeat, person_key, seat, tally
from hitl_mcp.approvals.terms import GroupQuorum


@dataclass(frozen=True, slots=True)
class Admitted:
    """A verdict that counts: for an approval in which stage; in what capacity; reviewed since when."""

    stage: int
    acted_as: ActedAs
    reviewed_from: datetime


def admit(
    record: RequestRecord, given: DecisionInput, capacity: Capacity | None, now: datetime
) -> Admitted | ApprovalError:
    """Check, in order:

    1. the person may decide, and is neither the requester nor excluded;
    2. there is a seat for them in some stage, or an escalation level of theirs is due;
    3. what the person saw is what is asked for;
    4. where the terms ask for a reason, there is one;
    5. for an approval, the channel is good enough;
    6. for an approval, the person had it before them for as long as the terms ask;
    7. for an approval, there is a seat for them in the stage that is open.
    """
    request = record.request
    if capacity is None:  # 1
        return NotEligible(f"{given.person[:80]!r} is not known here as somebody who may decide.")
    if person_key(capacity.person_id) == person_key(request.agent):
        return NotEligible("Whoever asks does not decide. Somebody else has to.")
    electorate = electorate_of(record)
    if electorate.bars(capacity.person_id):
        return NotEligible(
            f"{capacity.person_id} does not count for this request: the rule {request.policy} excludes them, "
            "or they edited it. Somebody else has to decide."
        )
    ballot = Ballot(capacity.person_id, given.verdict, now, 0, acting_as(capacity, request.terms))
    if not electorate.may_decide(ballot):  # 2
        return NotEligible(
            f"The rule {request.policy} asks for {_named(_all_quorums(record))}; {capacity.person_id} is "
            "not among them."
        )
    if given.action_digest != request.action_digest:  # 3
        return DigestChanged(request.request_id)
    if request.terms.reason_required and not (given.reason or "").strip():  # 4
        return InvalidSubmission("reason", f"is missing; the rule {request.policy} asks for one")
    seen = _seen(record, given, capacity.person_id, now)
    admitted = Admitted(0, ballot.acted_as, seen)
    if given.verdict is Verdict.DENY:
        return admitted
    if not given.assurance.satisfies(request.terms.required_assurance):  # 5
        return NotEligible(
            f"A request of {request.risk_level.value} risk is not approved over {given.channel}. "
            "Open its page, sign in and decide there."
        )
    left = seen + timedelta(seconds=request.terms.minimum_review_seconds) - now
    if left > timedelta(0):  # 6
        return ReviewTooShort(request.policy, math.ceil(left.total_seconds()))
    place = seat(ballots_of(record), ballot, electorate)  # 7
    if isinstance(place, NoSeat):
        return _no_seat(place, record)
    return Admitted(place, ballot.acted_as, seen)


def refusal_of(
    record: RequestRecord, given: DecisionInput, capacity: Capacity | None, now: datetime
) -> ApprovalError | None:
    """Why this verdict would not count now, for pages that say so beforehand; None where it would."""
    if record.request.status.is_terminal:
        return AlreadyEnded(record)
    name = person_key(given.person if capacity is None else capacity.person_id)
    if any(person_key(each.person) == name for each in record.standing):
        return AlreadyDecided("You have decided this request already.")
    admitted = admit(record, given, capacity, now)
    return None if isinstance(admitted, Admitted) else admitted


def _seen(record: RequestRecord, given: DecisionInput, person: str, now: datetime) -> datetime:
    """Since when the person could review this wording; nobody saw it before it was there."""
    since = review_start(record, record.request.revision, person) or now
    return since if given.first_seen_at is None else min(max(given.first_seen_at, since), now)


def _no_seat(reason: NoSeat, record: RequestRecord) -> NotYourTurn:
    missing = _named(tally(ballots_of(record), electorate_of(record)).missing)
    match reason:
        case NoSeat.STAGE_NOT_COME:
            return NotYourTurn(
                f"It is not your turn yet: first {missing} must approve. You will be asked then."
            )
        case NoSeat.STAGE_PASSED:
            return NotYourTurn(f"The stage that you could approve is done. What is missing now: {missing}.")
        case _:
            return NotYourTurn(f"The seats that you could take are taken. What is missing now: {missing}.")


def _all_quorums(record: RequestRecord) -> tuple[GroupQuorum, ...]:
    return tuple(quorum for stage in record.request.terms.stages for quorum in stage.quorums)


def _named(quorums: tuple[GroupQuorum, ...]) -> str:
    return " and ".join(f"{quorum.count} of {quorum.group}" for quorum in quorums) or "nobody"
