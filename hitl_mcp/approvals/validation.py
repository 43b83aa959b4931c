"""What a submission and a decision may hold.

Every refusal names the field, what was wrong and what is allowed.
"""

from __future__ import annotations

from typing import Final

from hitl_contract.canonical import canonical_json
from hitl_contract.errors import CanonicalizationError
from hitl_mcp.approvals.errors import InvalidSubmission
from hitl_mcp.approvals.models import (
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    DecisionInput,
    Submission,
)

MAX_JUSTIFICATION: Final = 4000
MAX_SUMMARY: Final = 300
MAX_IDEMPOTENCY_KEY: Final = 255
MAX_TRACE_ID: Final = 128
MAX_NAME: Final = 512
MAX_USE: Final = 255
MAX_METADATA_BYTES: Final = 16_384
MAX_REASON: Final = 2000
MAX_EVIDENCE_BYTES: Final = 8192


def check_submission(submission: Submission) -> None:
    """Raises InvalidSubmission."""
    if not submission.justification.strip():
        raise InvalidSubmission("justification", "is empty; say why this should be done, for the approver")
    check_text("justification", submission.justification, MAX_JUSTIFICATION)
    check_text("summary", submission.summary, MAX_SUMMARY)
    check_text("trace_id", submission.trace_id, MAX_TRACE_ID)
    if submission.idempotency_key == "":
        raise InvalidSubmission("idempotency_key", "is empty; leave it out or give a key of your own")
    check_text("idempotency_key", submission.idempotency_key, MAX_IDEMPOTENCY_KEY)
    if submission.metadata:
        _check_json("metadata", dict(submission.metadata), MAX_METADATA_BYTES)
    seconds = submission.timeout_seconds
    if seconds is not None and not MIN_TIMEOUT_SECONDS <= seconds <= MAX_TIMEOUT_SECONDS:
        raise InvalidSubmission(
            "timeout_seconds",
            f"is {seconds}; {MIN_TIMEOUT_SECONDS} to {MAX_TIMEOUT_SECONDS} are allowed",
        )


def check_decision(decision: DecisionInput) -> None:
    """Raises InvalidSubmission."""
    check_text("reason", decision.reason, MAX_REASON)
    check_text("conditions", decision.conditions, MAX_REASON)
    check_text("person", decision.person, MAX_NAME)
    check_text("channel", decision.channel, MAX_NAME)
    _check_json("evidence", dict(decision.evidence), MAX_EVIDENCE_BYTES)


def check_text(field: str, text: str | None, limit: int) -> None:
    """Raises InvalidSubmission for what is too long or has no place in a database of either kind."""
    if text is None:
        return
    if len(text) > limit:
        raise InvalidSubmission(field, f"has {len(text)} characters; at most {limit} are allowed")
    if "\x00" in text:
        raise InvalidSubmission(field, "contains a NUL character (U+0000); remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidSubmission(
            field, "contains half of a surrogate pair, which is no character; remove it"
        ) from error


def _check_json(field: str, value: dict[str, object], limit: int) -> None:
    try:
        size = len(canonical_json(value))
    except CanonicalizationError as error:
        raise InvalidSubmission(field, f"is not a JSON object that can be kept exactly: {error}") from error
    if size > limit:
        raise InvalidSubmission(field, f"is {size} bytes of JSON; at most {limit} are allowed")
