"""Deciding several requests in one go: each for itself, by its own digest, with its own seal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from hitl_mcp.approvals.errors import InvalidSubmission
from hitl_mcp.approvals.models import BatchInput, BatchItem, DecisionInput, RequestRecord
from hitl_mcp.errors import HitlError
from server_kit.errors import ServerError
from server_kit.identifiers import new_identifier

MAX_BATCH: Final = 100

Decide = Callable[[DecisionInput], Awaitable[RequestRecord]]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one item: its record, or why it was not decided."""

    item: BatchItem
    record: RequestRecord | None
    error: HitlError | ServerError | None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """`batch_id` is in the evidence of each decision that was made."""

    batch_id: str
    results: tuple[BatchResult, ...]


async def decide_batch(decide: Decide, batch: BatchInput) -> BatchOutcome:
    """Decide each item in order. One that is refused changes nothing about the others.

    Raises InvalidSubmission for no items, more than 100, and a request that is there twice.
    """
    ids = [item.request_id for item in batch.items]
    if not 1 <= len(ids) <= MAX_BATCH:
        raise InvalidSubmission("items", f"are {len(ids)}; 1 to {MAX_BATCH} are allowed")
    if len(set(ids)) != len(ids):
        raise InvalidSubmission("items", "name a request twice; decide each once")
    batch_id = new_identifier("bat")
    results = [await _decided(decide, batch, item, batch_id) for item in batch.items]
    return BatchOutcome(batch_id, tuple(results))


async def _decided(decide: Decide, batch: BatchInput, item: BatchItem, batch_id: str) -> BatchResult:
    given = DecisionInput(
        request_id=item.request_id,
        person=batch.person,
        verdict=item.verdict,
        reason=batch.reason,
        channel=batch.channel,
        assurance=batch.assurance,
        action_digest=item.action_digest,
        evidence={**batch.evidence, "batch": batch_id},
        first_seen_at=item.first_seen_at,
    )
    try:
        return BatchResult(item, await decide(given), None)
    except (HitlError, ServerError) as error:
        return BatchResult(item, None, error)
