"""How a request stands, as the templates show it: plain words, every name safe to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hitl_contract.display import safe_text
from hitl_mcp.approvals.standing import QuorumStanding, SeatTaken, StageState, Standing
from hitl_mcp.approvals.terms import ANY_APPROVER, RiskVote

_STATES: Final = {StageState.DONE: "done", StageState.OPEN: "now", StageState.TO_COME: "later"}


@dataclass(frozen=True)
class QuorumView:
    """`label` as "2 from platform"; `taken` as "ada, for bob"; `missing` seats."""

    label: str
    taken: tuple[str, ...]
    missing: int


@dataclass(frozen=True)
class StageView:
    number: int
    state: str
    quorums: tuple[QuorumView, ...]


@dataclass(frozen=True)
class VoteView:
    """`level` is None where the assessor was left out."""

    assessor: str
    level: str | None
    reason: str


@dataclass(frozen=True)
class EscalationView:
    at: datetime
    reached: bool
    who: str


@dataclass(frozen=True)
class OfferView:
    name: str
    limits: str


@dataclass(frozen=True)
class RevisionView:
    revision: int
    editor: str
    reason: str | None
    at: datetime
    action_digest: str


@dataclass(frozen=True)
class StandingView:
    rule: str
    explanation: str
    asks: str
    needed: str
    top_reason: str | None
    stages: tuple[StageView, ...]
    votes: tuple[VoteView, ...]
    escalation: tuple[EscalationView, ...]
    offers: tuple[OfferView, ...]
    revisions: tuple[RevisionView, ...]
    reason_required: bool
    minimum_review: str | None
    denials_to_end: int
    may_edit: bool


def view_standing(standing: Standing) -> StandingView:
    """The view of a standing."""
    top = standing.top_vote
    seconds = standing.minimum_review_seconds
    return StandingView(
        rule=safe_text(standing.rule),
        explanation=safe_text(standing.explanation),
        asks=safe_text(standing.asks),
        needed=safe_text(standing.needed),
        top_reason=safe_text(top.reason) if top else None,
        stages=tuple(
            StageView(number, _STATES[stage.state], tuple(map(_quorum, stage.quorums)))
            for number, stage in enumerate(standing.stages, 1)
        ),
        votes=tuple(map(_vote, standing.votes)),
        escalation=tuple(
            EscalationView(each.at, each.reached, safe_text(", ".join((*each.groups, *each.people))))
            for each in standing.escalation
        ),
        offers=tuple(
            OfferView(each.name, ", ".join(f"{path} {value}" for path, value in each.limits))
            for each in standing.conditions
        ),
        revisions=tuple(
            RevisionView(
                each.revision,
                safe_text(each.editor),
                safe_text(each.reason, multiline=True) if each.reason else None,
                each.at,
                each.action_digest,
            )
            for each in standing.revisions
        ),
        reason_required=standing.reason_required,
        minimum_review=duration(seconds) if seconds else None,
        denials_to_end=standing.denials_to_end,
        may_edit=standing.may_edit,
    )


def duration(seconds: int) -> str:
    """A length of time as people say it: "45 seconds", "2 minutes"."""
    for size, name in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and (seconds % size == 0 or size == 1 or seconds >= 10 * size):
            count = -(-seconds // size)
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return "no time"


def _quorum(quorum: QuorumStanding) -> QuorumView:
    if quorum.group == ANY_APPROVER:
        label = "1 approver" if quorum.count == 1 else f"{quorum.count} approvers"
    else:
        label = f"{quorum.count} from {safe_text(quorum.group)}"
    return QuorumView(label, tuple(map(_taken, quorum.taken)), quorum.count - len(quorum.taken))


def _taken(seat: SeatTaken) -> str:
    acting = f", for {safe_text(', '.join(seat.acting_for))}" if seat.acting_for else ""
    return f"{safe_text(seat.person)}{acting}"


def _vote(vote: RiskVote) -> VoteView:
    return VoteView(
        safe_text(vote.assessor), vote.level.value if vote.level else None, safe_text(vote.reason)
    )
