"""What one tap on a card that carries several requests decides, and what the person is told. Pure.

Each request is decided for itself, through the batch decision: by the digest that the card showed of it, for
somebody who may decide it, as one more seat of its own quorum. What joined the card later is not among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from hitl_mcp.approvals.batches import BatchOutcome
from hitl_mcp.approvals.errors import AlreadyEnded
from hitl_mcp.approvals.models import Assurance, BatchInput, BatchItem, RequestRecord, Verdict
from hitl_mcp.errors import HitlError
from hitl_mcp.notifiers.base import InboxAnswer
from hitl_mcp.notifiers.card_faces import CardFace

SETTLES_IN: Final = timedelta(seconds=1)
"""A finger that is on its way when a card grows lands on what nobody has read yet."""


def just_changed(face: CardFace, now: datetime) -> bool:
    """Whether this face has shown something new for too short a time to have been read."""
    return face.grew_at is not None and now - face.grew_at < SETTLES_IN


def batch_of(
    face: CardFace, person: str, verdict: Verdict, reason: str | None, evidence: Mapping[str, str]
) -> BatchInput:
    """The decision of exactly what the face showed."""
    return BatchInput(
        person=person,
        items=tuple(BatchItem(request_id, digest, verdict) for request_id, digest in face.items),
        reason=reason,
        channel=face.channel,
        assurance=Assurance.CHAT,
        evidence=evidence,
    )


def all_over(records: Sequence[RequestRecord]) -> bool:
    """Whether nothing of it waits any more."""
    return all(record.request.status.is_terminal for record in records)


def refusals_of(outcome: BatchOutcome) -> Iterator[tuple[str, str]]:
    """Each request that was not decided, and the name of the reason."""
    for result in outcome.results:
        if result.error is not None:
            ended = isinstance(result.error, AlreadyEnded)
            yield result.item.request_id, "ended" if ended else type(result.error).__name__


def outcome_of(outcome: BatchOutcome, verdict: Verdict) -> InboxAnswer:
    """What became of it; what was refused comes with its first reason."""
    done = [result.record for result in outcome.results if result.record is not None]
    refused = [result for result in outcome.results if result.record is None]
    word = "Approved" if verdict is Verdict.APPROVE else "Denied"
    over = [record for record in done if record.request.status.is_terminal]
    said: list[str] = []
    if over:
        said.append(f"{word}: {_counted(len(over))}.")
    if len(done) > len(over):
        said.append(
            f"Your approval of {_counted(len(done) - len(over))} is recorded; others are still asked."
        )
    if refused:
        reason = _reason(refused[0].error)
        said.append(f"Not decided: {_counted(len(refused))}. {refused[0].item.request_id}: {reason}")
    return InboxAnswer(" ".join(said), decided=not refused)


def _counted(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests"


def _reason(error: Exception | None) -> str:
    return str(error) if isinstance(error, HitlError) else "It could not be done now. Try again."
