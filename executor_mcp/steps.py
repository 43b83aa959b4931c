"""Named points on the way of a call, in order.

A test stops the process at any of them; production passes through.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Step(StrEnum):
    """Each point is reached after what its name says has happened."""

    TOKEN_VERIFIED = "token_verified"  # noqa: S105
    ACTION_CHECKED = "action_checked"
    SANDBOX_PREPARED = "sandbox_prepared"
    SPENT_NOT_COMMITTED = "spent_not_committed"
    AUDITED_NOT_COMMITTED = "audited_not_committed"
    ADMITTED = "admitted"
    QUEUED_NOT_COMMITTED = "queued_not_committed"
    QUEUED = "queued"
    CLAIMED = "claimed"
    CLAIMED_AND_PREPARED = "claimed_and_prepared"
    BEGUN_NOT_COMMITTED = "begun_not_committed"
    RUN_BEGUN = "run_begun"
    PROGRAM_STARTED = "program_started"
    RUNNING_RECORDED = "running_recorded"
    PROGRAM_ENDED = "program_ended"
    RECEIPT_SIGNED = "receipt_signed"
    OUTCOME_NOT_COMMITTED = "outcome_not_committed"
    OUTCOME_RECORDED = "outcome_recorded"


class StepObserver(Protocol):
    """Told of each step before the next one begins."""

    async def reached(self, step: Step) -> None: ...


class PassThrough:
    """What production uses: does nothing."""

    async def reached(self, step: Step) -> None:
        del step
