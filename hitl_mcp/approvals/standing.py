"""How a request stands, for people: what is asked, who has given it, what is missing, what comes next. Pure.

Every surface (pages, REST, command line, cards) says it from this one value. Names in it are as stored: who
shows them makes them safe to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hitl_mcp.approvals.ballots import ballots_of, electorate_of
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest, RequestRecord, RequestStatus
from hitl_mcp.approvals.quorum import Ballot, Seat, person_key, seating
from hitl_mcp.approvals.terms import ANY_APPROVER, GroupQuorum, OfferedCondition, RiskVote, RuleVerdict, Terms


class StageState(StrEnum):
    DONE = "done"
    OPEN = "open"
    TO_COME = "to come"


@dataclass(frozen=True, slots=True)
class SeatTaken:
    """Who takes a seat, and for whom, where the seat is not theirs by their own groups."""

    person: str
    acting_for: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class QuorumStanding:
    group: str
    count: int
    taken: tuple[SeatTaken, ...]


@dataclass(frozen=True, slots=True)
class StageStanding:
    state: StageState
    quorums: tuple[QuorumStanding, ...]


@dataclass(frozen=True, slots=True)
class Escalation:
    """Who may also decide, from when on; `reached` when that time has come."""

    at: datetime
    reached: bool
    groups: tuple[str, ...]
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RevisionStanding:
    """One wording of the action. Number 0 is the agent's own."""

    revision: int
    action_digest: str
    editor: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """`asks` is what the rule asks in all, `needed` what is missing now, empty when nothing is."""

    rule: str
    explanation: str
    asks: str
    needed: str
    stages: tuple[StageStanding, ...]
    votes: tuple[RiskVote, ...]
    escalation: tuple[Escalation, ...]
    conditions: tuple[OfferedCondition, ...]
    revisions: tuple[RevisionStanding, ...]
    reason_required: bool
    minimum_review_seconds: int
    denials_to_end: int
    may_edit: bool

    @property
    def top_vote(self) -> RiskVote | None:
        """The first of the highest votes: the reason why the risk is what it is."""
        return top_vote(self.votes)


def standing_of(record: RequestRecord, now: datetime) -> Standing:
    """How the request of `record` stands at `now`."""
    request, terms = record.request, record.request.terms
    asking = request.verdict is RuleVerdict.ASK
    stages = _stages(record) if asking else ()
    pending = asking and request.status is RequestStatus.PENDING
    return Standing(
        rule=request.policy,
        explanation=request.explanation,
        asks=asks_of(terms) if asking else "",
        needed=_needed(stages) if pending else "",
        stages=stages,
        votes=request.assessment.votes if request.assessment else (),
        escalation=_escalation(request, now) if asking else (),
        conditions=terms.conditions,
        revisions=tuple(
            RevisionStanding(each.revision, each.action_digest, each.editor, each.reason, each.at)
            for each in record.revisions
        ),
        reason_required=terms.reason_required,
        minimum_review_seconds=terms.minimum_review_seconds,
        denials_to_end=terms.denials_to_end,
        may_edit=terms.may_edit,
    )


def asks_of(terms: Terms) -> str:
    """What a rule asks, as "1 from security and 2 from platform, then 1 approver"."""
    return ", then ".join(_listed(_people(each) for each in stage.quorums) for stage in terms.stages)


def top_vote(votes: Sequence[RiskVote]) -> RiskVote | None:
    """The first of the highest votes; None when no assessor voted."""
    counted = [vote for vote in votes if vote.level is not None]
    return max(counted, key=lambda vote: (vote.level or RiskLevel.LOW).rank, default=None)


def _stages(record: RequestRecord) -> tuple[StageStanding, ...]:
    seats = seating(ballots_of(record), electorate_of(record))
    found: list[StageStanding] = []
    state = StageState.DONE
    for stage, placed in zip(record.request.terms.stages, seats, strict=True):
        if state is StageState.DONE:
            state = StageState.DONE if all(seat.taken_by for seat in placed) else StageState.OPEN
        else:
            state = StageState.TO_COME
        quorums: list[QuorumStanding] = []
        first = 0
        for quorum in stage.quorums:
            own = placed[first : first + quorum.count]
            first += quorum.count
            taken = tuple(_taken(seat, seat.taken_by) for seat in own if seat.taken_by is not None)
            quorums.append(QuorumStanding(quorum.group, quorum.count, taken))
        found.append(StageStanding(state, tuple(quorums)))
    return tuple(found)


def _taken(seat: Seat, ballot: Ballot) -> SeatTaken:
    wanted = person_key(seat.group)
    if wanted in map(person_key, ballot.acted_as.groups):
        return SeatTaken(ballot.person, (), ballot.decided_at)
    lenders = tuple(
        each.person_id
        for each in ballot.acted_as.acting_for
        if not each.groups or wanted in map(person_key, each.groups)
    )
    return SeatTaken(ballot.person, lenders, ballot.decided_at)


def _needed(stages: Iterable[StageStanding]) -> str:
    parts: list[str] = []
    for stage in stages:
        missing = [_missing(each) for each in stage.quorums if len(each.taken) < each.count]
        if missing:
            parts.append(_listed(missing))
    return ", then ".join(parts)


def _missing(quorum: QuorumStanding) -> str:
    left = quorum.count - len(quorum.taken)
    if not quorum.taken:
        return _people(GroupQuorum(quorum.group, quorum.count))
    if quorum.group == ANY_APPROVER:
        return f"{left} more of {quorum.count} approvers"
    return f"{left} more of {quorum.count} from {quorum.group}"


def _people(quorum: GroupQuorum) -> str:
    if quorum.group != ANY_APPROVER:
        return f"{quorum.count} from {quorum.group}"
    return "1 approver" if quorum.count == 1 else f"{quorum.count} approvers"


def _listed(parts: Iterable[str]) -> str:
    return " and ".join(parts)


def _escalation(request: ApprovalRequest, now: datetime) -> tuple[Escalation, ...]:
    return tuple(
        Escalation(at, now >= at, level.groups, level.people)
        for level in request.terms.escalation
        if (at := request.created_at + timedelta(seconds=level.after_seconds)) < request.expires_at
    )
