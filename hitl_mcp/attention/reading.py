"""Who may see whose measure, and the measure as doors hand it out: pure."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.attention.measure import Attention, ReadingSpeed
from hitl_mcp.attention.records import AttentionReport
from hitl_mcp.attention.rubber_stamping import stamping

READERS: Final = frozenset({"admin", "auditor"})
"""The roles that see everybody's; everybody else sees their own alone."""


def may_see_all(reader: PersonRecord) -> bool:
    return not READERS.isdisjoint(reader.roles)


def shown_to(reader: PersonRecord, asked: str | None) -> str | None:
    """Whose measure to show a reader who asked for this person's; None for everybody's.

    Raises PermissionError for somebody else's.
    """
    if may_see_all(reader):
        return asked
    if asked is not None and person_key(asked) != person_key(reader.person_id):
        raise PermissionError
    return reader.person_id


def attention_to_json(report: AttentionReport, speed: ReadingSpeed) -> dict[str, JsonValue]:
    return {
        "days": report.days,
        "since": report.since.isoformat(),
        "words_per_minute": speed.words_per_minute,
        "least_seconds": speed.least_seconds,
        "people": [_person(each) for each in report.people],
    }


def _person(each: Attention) -> dict[str, JsonValue]:
    return {
        "person": each.person,
        "decided": each.decided,
        "approved": each.approved,
        "approved_share": _rounded(each.approved_share),
        "seconds_p50": _rounded(each.seconds_p50),
        "seconds_p90": _rounded(each.seconds_p90),
        "hasty": each.hasty,
        "hasty_share": _rounded(each.hasty_share),
        "canaries_caught": each.canaries_caught,
        "canaries_missed": each.canaries_missed,
        "warning": stamping(each),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
