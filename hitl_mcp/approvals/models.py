"""Values of the approval life cycle. Everything here is frozen and knows no storage and no transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from hitl_contract.action import Action
from hitl_mcp.approvals.capacity import ActedAs
from hitl_mcp.approvals.dialogue import GivenAnswer, QuestionBack
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.terms import RiskAssessment, RuleVerdict, Terms

DEFAULT_TIMEOUT_SECONDS = 3600
MIN_TIMEOUT_SECONDS = 10
MAX_TIMEOUT_SECONDS = 604_800
APPROVAL_VALIDITY_SECONDS = 3600
GRANT_POLICY = "grant:"
"""What the policy of a request that a grant covers begins with."""
SEAL_FORMAT = 2
"""The sealed field sets of requests and decisions that this release writes; see `hitl_mcp.minting.seals`."""


class RequestStatus(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    DENIED = "DENIED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    ANSWERED = "ANSWERED"
    """Of questions alone: a person answered."""

    @property
    def is_terminal(self) -> bool:
        return self is not RequestStatus.PENDING


class Verdict(StrEnum):
    APPROVE = "approve"
    DENY = "deny"


class RequestKind(StrEnum):
    """What a request asks people for: leave to do an action, or the answer to a question.

    A canary looks like the first and is a drill: no agent made it, and it is never approved.
    """

    ACTION = "action"
    QUESTION = "question"
    CANARY = "canary"

    @property
    def shown(self) -> Literal[RequestKind.ACTION, RequestKind.QUESTION]:
        """What everybody is told that it is."""
        return RequestKind.QUESTION if self is RequestKind.QUESTION else RequestKind.ACTION


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
class ApprovalRequest:
    """One request as stored.

    `action` and its digests are what people decide about now: what the agent proposed, or the last edit of
    it, then `revision` counts the edits and `proposed_digest` names what was proposed. `policy`, `verdict`,
    `explanation`, `assessment` and `terms` are the rule's ruling on that action.

    `expires_at` is when silence ends it; `valid_until` is when an approval itself lapses. `token_id` is the
    one `jti` of its tokens, known once the first was collected. `ended_by` is the person or the agent whose
    act ended it, None after a timeout and when a rule decided. `version` grows by one with every change.
    `seal` is the MAC over what an agent proposed, a rule ruled and an approver edited: see
    `hitl_mcp.minting.seals`. `seal_format` says which fields it covers.
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
    kind: RequestKind = RequestKind.ACTION
    verdict: RuleVerdict = RuleVerdict.ASK
    explanation: str = ""
    terms: Terms = field(default_factory=Terms)
    assessment: RiskAssessment | None = None
    revision: int = 0
    proposed_digest: str | None = None
    seal_format: int = SEAL_FORMAT

    @property
    def is_granted(self) -> bool:
        """Whether a grant covered it, and nobody was asked; no rule's name holds a colon."""
        return self.policy.startswith(GRANT_POLICY)

    def is_of(self, agent: str) -> bool:
        """Whether this agent made it. A drill is nobody's, whatever name it goes by."""
        return self.agent == agent and self.kind is not RequestKind.CANARY

    @property
    def drill_notice(self) -> str | None:
        """What people are told once a drill has ended; None for every other request."""
        return self.ended_reason if self.kind is RequestKind.CANARY and self.status.is_terminal else None

    @property
    def asked_digest(self) -> str:
        """The digest of the action that the agent asked for, whatever was edited since."""
        return self.proposed_digest or self.action_digest


@dataclass(frozen=True, slots=True)
class Decision:
    """One person's verdict. `seal` is a MAC over every other field, under a key outside the database.

    It is about the action of `revision`. An approval was given in the stage numbered `stage`, from 0, and in
    the capacity `acted_as`. `reviewed_from` is when the person could first see that action.
    """

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
    revision: int = 0
    stage: int = 0
    acted_as: ActedAs = field(default_factory=ActedAs)
    reviewed_from: datetime | None = None
    seal_format: int = SEAL_FORMAT


@dataclass(frozen=True, slots=True)
class Revision:
    """One wording of a request's action. Number 0 is the agent's own; it is kept when the first edit is made.

    `editor` is the person who edited, or the agent. `seal` is a MAC over every other field.
    """

    request_id: str
    revision: int
    action_digest: str
    display_digest: str
    editor: str
    reason: str | None
    at: datetime
    seal: str


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request with its decisions, oldest first, and its revisions by number, none while never edited.

    Decisions about an earlier revision stay on record and count for nothing: `standing` are those that count.
    `answer` is a person's, to a question. `questions` were asked back about a request for approval, in their
    order; they change nothing of it.
    """

    request: ApprovalRequest
    decisions: tuple[Decision, ...]
    revisions: tuple[Revision, ...] = ()
    answer: GivenAnswer | None = None
    questions: tuple[QuestionBack, ...] = ()

    @property
    def open_question(self) -> QuestionBack | None:
        """The oldest question that the agent has not answered, while the request is pending."""
        if self.request.status.is_terminal:
            return None
        return next((each for each in self.questions if each.is_open), None)

    @property
    def standing(self) -> tuple[Decision, ...]:
        return tuple(each for each in self.decisions if each.revision == self.request.revision)

    @property
    def received_approvals(self) -> int:
        return sum(decision.verdict is Verdict.APPROVE for decision in self.standing)


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """A verdict as a channel hands it in, after it has proven who the person is.

    `action_digest` is the digest of what that person saw; `evidence` is what proves it was them (callback id,
    session id, address), kept with the decision. `first_seen_at` is when that person was first shown it, None
    when the channel does not know.
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
    first_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EditInput:
    """A new wording of a pending request's action, as a channel hands it in.

    `action_digest` is the digest of the action that the person saw and edited.
    """

    request_id: str
    person: str
    action: Action
    reason: str | None
    channel: str
    assurance: Assurance
    action_digest: str
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])


LimitValue = str | int | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an approver attaches: names of conditions that the rule offers, and tighter limits of their own.

    `limits` maps `limits.NAME` to a lower number, `network.mode` to "none", `network.domains` to fewer names,
    `profile` to a stricter one.
    """

    offered: tuple[str, ...] = ()
    limits: Mapping[str, LimitValue] = field(default_factory=dict[str, LimitValue])


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One verdict of several given together; `action_digest` is the digest of what the person saw."""

    request_id: str
    action_digest: str
    verdict: Verdict
    first_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchInput:
    """Several verdicts of one person, as a channel hands them in."""

    person: str
    items: tuple[BatchItem, ...]
    reason: str | None
    channel: str
    assurance: Assurance
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])


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
