"""How long a call is held, by what the caller's client can do. Time is the waiter's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from hitl_contract.action import parse_action
from hitl_mcp.approvals.models import ApprovalRequest, Assurance, RequestRecord, RequestStatus, RiskLevel
from hitl_mcp.tools.waiting import (
    HELD_WITHOUT_PROGRESS_SECONDS,
    PROGRESS_EVERY_SECONDS,
    TASKS_EXTENSION,
    Ladder,
    default_wait_seconds,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PENDING = RequestRecord(
    ApprovalRequest(
        request_id="req_1",
        agent="builder",
        action=parse_action({"type": "generic", "operation": "deploy", "details": {}}),
        action_digest="sha-256:x",
        display_digest="sha-256:y",
        justification="why",
        summary=None,
        risk_level=RiskLevel.LOW,
        status=RequestStatus.PENDING,
        policy="ask",
        required_approvals=1,
        required_assurance=Assurance.CHAT,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        decided_at=None,
        valid_until=None,
        token_id=None,
        revoked_at=None,
        ended_by=None,
        ended_reason=None,
        trace_id=None,
        metadata={},
        version=1,
        seal="s",
    ),
    (),
)
APPROVED = RequestRecord(replace(PENDING.request, status=RequestStatus.APPROVED), ())


@dataclass
class RecordingWaiter:
    """Implements `Waiter`: people decide during the wait of this number, or never."""

    decided_in_wait: int | None = None
    waits: list[float] = field(default_factory=list[float])

    async def wait(self, request_id: str, timeout_seconds: float, *, or_asked: bool = False) -> RequestRecord:
        self.waits.append(timeout_seconds)
        return APPROVED if len(self.waits) == self.decided_in_wait else PENDING


@dataclass
class Caller:
    """A call's context as far as the ladder looks at it."""

    progress_token: str | None = None
    revision: str = "2026-07-28"
    extensions: dict[str, Any] = field(default_factory=dict[str, Any])
    reported: list[float] = field(default_factory=list[float])

    @property
    def request_context(self) -> Any:
        capabilities = SimpleNamespace(extensions=self.extensions)
        return SimpleNamespace(
            meta={"progress_token": self.progress_token} if self.progress_token else None,
            protocol_version=self.revision,
            session=SimpleNamespace(client_capabilities=capabilities),
        )

    async def report_progress(self, progress: float, total: float, message: str) -> None:
        assert "req_1" in message
        self.reported.append(progress)


async def climb(waiter: RecordingWaiter, caller: Any, seconds: float) -> RequestRecord:
    return await Ladder(waiter).wait(
        PENDING, caller, seconds, review_url="https://approvals.test/requests/req_1"
    )


@pytest.mark.parametrize(("asked", "held"), [(3600, HELD_WITHOUT_PROGRESS_SECONDS), (10, 10)])
async def test_without_a_progress_token_a_call_is_held_45_seconds_at_most(asked: float, held: float) -> None:
    waiter = RecordingWaiter()
    assert (await climb(waiter, Caller(), asked)).request.status is RequestStatus.PENDING
    assert waiter.waits == [held]


async def test_with_a_progress_token_progress_comes_every_15_seconds_until_the_decision() -> None:
    waiter, caller = RecordingWaiter(decided_in_wait=4), Caller(progress_token="p")
    assert (await climb(waiter, caller, 3600)).request.status is RequestStatus.APPROVED
    assert waiter.waits == [PROGRESS_EVERY_SECONDS] * 4
    assert caller.reported == [0.0, 15.0, 30.0, 45.0]


async def test_with_a_progress_token_a_call_ends_when_it_was_asked_to() -> None:
    waiter = RecordingWaiter()
    assert (await climb(waiter, Caller(progress_token="p"), 40)).request.status is RequestStatus.PENDING
    assert waiter.waits == [15.0, 15.0, 10.0]


async def test_asking_not_to_wait_waits_not() -> None:
    waiter = RecordingWaiter()
    await climb(waiter, Caller(progress_token="p"), 0)
    assert waiter.waits == []


@pytest.mark.parametrize(
    ("caller", "waits"),
    [
        (Caller(extensions={TASKS_EXTENSION: {}}), False),
        (Caller(extensions={TASKS_EXTENSION: {}}, revision="2025-11-25"), True),
        (Caller(extensions={"com.example/other": {}}), True),
        (Caller(), True),
    ],
)
def test_only_a_caller_that_declares_tasks_on_their_revision_does_not_wait(caller: Any, waits: bool) -> None:
    assert (default_wait_seconds(caller) > 0) is waits
