"""Values of the approval life cycle. Everything here is frozen and knows no storage and no transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

from hitl_contract.action import Action

DEFAULT_TIMEOUT_SECONDS = 3600
MIN_TIMEOUT_SECONDS = 10
MAX_TIMEOUT_SECONDS = 604_800
APPROVAL_VALIDITY_SECONDS = 3600


class RequestStatus(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    DENIED = "DENIED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        return self is not RequestStatus.PENDING


class RiskLevel(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Verdict(StrEnum):
    APPROVE = "approve"
    DENY = "deny"


class Assurance(StrEnum):
    """How well a channel proves who decides, from weak to strong."""

    CHAT = "chat"
    SESSION = "session"

    def satisfies(self, required: Assurance) -> bool:
        order = list(Assurance)
        return order.index(self) >= order.index(required)


@dataclass(frozen=True, slots=True)
class Submission:
    """What an agent asks for.

    `timeout_seconds` is how long people may take (10 to 604,800; 3,600 when left out). `idempotency_key`
    makes asking again safe: the same agent with the same key always reaches the same request.
    """

    action: Action
    justification: str
    summary: str | None = None
    risk_level: RiskLevel | None = None
    timeout_seconds: int | None = None
    idempotency_key: str | None = None
    trace_id: str | None = None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy says about a submission: which rule applies, and what people it asks for."""

    policy: str
    risk_level: RiskLevel
    required_approvals: int
    required_assurance: Assurance


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """One request as stored.

    `expires_at` is when silence ends it; `valid_until` is when an approval itself lapses. `token_id` is the
    one `jti` of its tokens, known once the first was collected. `ended_by` is the person or the agent whose
    act ended it, None after a timeout. `version` grows by one with every change. `seal` is the MAC over what
    never changes (agent, action, quorum, times): see `hitl_mcp.minting.seals`.
    """

    request_id: str
    agent: str
    action: Action
    action_digest: str
    display_digest: str
    justification: str
    summary: str | None
    risk_level: RiskLevel
    status: RequestStatus
    policy: str
    required_approvals: int
    required_assurance: Assurance
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    valid_until: datetime | None
    token_id: str | None
    revoked_at: datetime | None
    ended_by: str | None
    ended_reason: str | None
    trace_id: str | None
    metadata: Mapping[str, JsonValue]
    version: int
    seal: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One person's verdict. `seal` is a MAC over every other field, under a key outside the database."""

    decision_id: str
    request_id: str
    action_digest: str
    display_digest: str
    person: str
    verdict: Verdict
    reason: str | None
    conditions: str | None
    channel: str
    assurance: Assurance
    evidence: Mapping[str, str]
    decided_at: datetime
    seal: str


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request together with its decisions, oldest first."""

    request: ApprovalRequest
    decisions: tuple[Decision, ...]

    @property
    def received_approvals(self) -> int:
        return sum(decision.verdict is Verdict.APPROVE for decision in self.decisions)


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """A verdict as a channel hands it in, after it has proven who the person is.

    `action_digest` is the digest of what that person saw; `evidence` is what proves it was them (callback id,
    session id, address), kept with the decision.
    """

    request_id: str
    person: str
    verdict: Verdict
    reason: str | None
    channel: str
    assurance: Assurance
    action_digest: str
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])
    conditions: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A capability token for the requesting agent. `token_id` is the same however often it is collected."""

    token: str = field(repr=False)
    expires_at: datetime
    token_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, newest first; `next_cursor` continues the list, None at its end."""

    records: tuple[RequestRecord, ...]
    next_cursor: str | None
