"""A stored request as the quorum sees it: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hitl_mcp.approvals.models import Decision, RequestRecord
from hitl_mcp.approvals.quorum import Ballot, Electorate, person_key


@dataclass(frozen=True, slots=True)
class Wording:
    """What people decided about, and since when they could."""

    action_digest: str
    display_digest: str
    at: datetime


def wording_of(record: RequestRecord, revision: int) -> Wording | None:
    """The wording with this number; None when there is none."""
    request = record.request
    if not record.revisions:
        if revision:
            return None
        return Wording(request.action_digest, request.display_digest, request.created_at)
    for each in record.revisions:
        if each.revision == revision:
            return Wording(each.action_digest, each.display_digest, each.at)
    return None


def review_start(record: RequestRecord, revision: int, person: str) -> datetime | None:
    """Since when this person could review this wording; who wrote it knows it from the one before."""
    while revision > 0:
        written = next((each for each in record.revisions if each.revision == revision), None)
        if written is None or person_key(written.editor) != person_key(person):
            break
        revision -= 1
    wording = wording_of(record, revision)
    return None if wording is None else wording.at


def ballot_of(decision: Decision) -> Ballot:
    return Ballot(decision.person, decision.verdict, decision.decided_at, decision.stage, decision.acted_as)


def ballots_of(record: RequestRecord) -> list[Ballot]:
    """The verdicts that count: those about the present wording."""
    return [ballot_of(each) for each in record.standing]


def electorate_of(record: RequestRecord) -> Electorate:
    request = record.request
    editors = tuple(each.editor for each in record.revisions if each.revision > 0)
    return Electorate(request.terms, request.agent, request.created_at, editors)
