"""What the approval service needs from the rest of the server. Concrete classes meet it only in wiring.

Above: `ApprovalService`. Below: `hitl_mcp.storage` (RequestStore), `hitl_mcp.minting` (Minter, and the Sealer
of `sealer.py`), `hitl_mcp.audit` (AuditTrail), `hitl_mcp.risk` (RiskAssessor), `hitl_mcp.policies` (Policy),
`hitl_mcp.identity` (AgentFactsDirectory, PeopleDirectory), `hitl_mcp.notifiers` (Outbox).

Every method that takes a connection belongs to the caller's transaction: it commits or rolls back with it,
may run again when the transaction is retried, and has no other effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals.canaries import CanaryBook
from hitl_mcp.approvals.capacity import ActingFor, Capacity
from hitl_mcp.approvals.deadlines import Deadline
from hitl_mcp.approvals.dialogue import GivenAnswer, QuestionBack
from hitl_mcp.approvals.grants import Grant, GrantEvidence, GrantOffer
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    IssuedToken,
    RequestRecord,
    RequestStatus,
    Revision,
    Submission,
)
from hitl_mcp.approvals.proof import ProvenApproval
from hitl_mcp.approvals.sealer import Sealer
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, Ruling
from hitl_mcp.approvals.tracing import RequestTracing, Untraced
from server_kit.clock import Clock
from server_kit.database.base import Database

__all__ = [
    "ActingFor",
    "AgentFactsDirectory",
    "ApprovalPorts",
    "AuditTrail",
    "Capacity",
    "Deadline",
    "DeadlineStore",
    "GrantBook",
    "GrantUsing",
    "ListPosition",
    "Minter",
    "NotificationKind",
    "Outbox",
    "PeopleDirectory",
    "PersonRecord",
    "Policy",
    "RequestStore",
    "RevokedToken",
    "RiskAssessor",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person who may decide now."""

    person_id: str
    display_name: str
    roles: tuple[str, ...]


class PeopleDirectory(Protocol):
    async def eligible(self, person_id: str) -> PersonRecord | None:
        """The person, when known, not suspended and an approver; spelling and case do not matter."""
        ...

    async def capacity(
        self, person_id: str, *, at: datetime, agent: str, action_type: str, risk: RiskLevel, request_id: str
    ) -> Capacity | None:
        """What this person may do about such a request at `at`, delegations to them included.

        None when unknown, suspended, or no approver and nobody delegated to them. Absence does not forbid
        deciding.
        """
        ...

    async def members(self, group: str) -> tuple[str, ...]:
        """The ids of the active people of a role or group; of "approver", all approvers."""
        ...


class AgentFactsDirectory(Protocol):
    async def facts(self, agent: str) -> AgentFacts:
        """What is known of an agent; of one that nobody described, its name and nothing to its favour."""
        ...


class NotificationKind(StrEnum):
    """What people are told about. CREATED sends cards, CHANGED redraws them, ENDED closes them.

    ESCALATED and REMINDED redraw them and call people to them once more.
    """

    CREATED = "created"
    CHANGED = "changed"
    ENDED = "ended"
    ESCALATED = "escalated"
    REMINDED = "reminded"

    @property
    def calls(self) -> bool:
        """Whether people are called, besides what the cards then show."""
        return self in {NotificationKind.ESCALATED, NotificationKind.REMINDED}


class Outbox(Protocol):
    async def enqueue(self, connection: AsyncConnection, kind: NotificationKind, request_id: str) -> None:
        """Owe every channel this news. Publishes its own wake-up for the dispatcher."""
        ...


class RiskAssessor(Protocol):
    async def assess(self, agent: AgentFacts, submission: Submission) -> RiskAssessment:
        """How risky this is. Never raises, and never takes longer than 10 s."""
        ...


class Policy(Protocol):
    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        """Which rule applies, and what it says. Never raises: what cannot be evaluated is not allowed."""
        ...


class AuditTrail(Protocol):
    async def append(
        self,
        connection: AsyncConnection,
        event: str,
        *,
        actor: str,
        subject: str,
        details: Mapping[str, JsonValue],
    ) -> AuditEntry:
        """Add one entry. Raises `server_kit.errors.AuditUnavailable`, and then the act must not happen."""
        ...

    async def about(
        self, connection: AsyncConnection, subject: str, events: Collection[str] | None = None
    ) -> Sequence[AuditEntry]:
        """The entries about `subject`, oldest first; of all events, or only of those named."""
        ...


class Minter(Protocol):
    def mint(self, approval: ProvenApproval, *, issued_at: int, expires_at: int) -> IssuedToken:
        """Sign a capability token for an approval that has proven itself. Times are POSIX seconds."""
        ...


@dataclass(frozen=True, slots=True)
class ListPosition:
    """The last record of a page; the next page starts below it."""

    created_at: datetime
    request_id: str


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """A token that was issued and then withdrawn; no executor takes it after `expires_at` anyway."""

    token_id: str
    request_id: str
    revoked_at: datetime
    expires_at: datetime


class DeadlineStore(Protocol):
    """The rows that say when to look at a pending request; what then happens is `deadlines.firing`."""

    async def add_deadlines(self, connection: AsyncConnection, planned: Sequence[Deadline]) -> None:
        """Store these, each in place of one of the same name."""
        ...

    async def take_deadline(self, connection: AsyncConnection, deadline: Deadline, now: datetime) -> bool:
        """Remove it, if it is still there and due: of several that try, one gets True."""
        ...

    async def take_all(
        self, connection: AsyncConnection, name: str, request_ids: Collection[str], now: datetime
    ) -> Collection[str]:
        """Remove the deadlines of this name that are still there and due; the requests whose they were."""
        ...

    async def drop_deadlines(self, connection: AsyncConnection, request_id: str) -> None: ...

    async def due(self, connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Deadline]:
        """What is due at `now`, the longest due first."""
        ...

    async def next_due(self, connection: AsyncConnection) -> datetime | None: ...


class RequestStore(DeadlineStore, Protocol):
    async def insert(self, connection: AsyncConnection, request: ApprovalRequest, canonical: bytes) -> bool:
        """Store a new request and its action; the same agent asking again is attached to it.

        False, and nothing stored but the action, when another request holds that place.
        """
        ...

    async def load(self, connection: AsyncConnection, request_id: str) -> RequestRecord | None:
        """The request and its decisions; within a write nobody else changes it until that ends."""
        ...

    async def load_all(
        self, connection: AsyncConnection, request_ids: Collection[str]
    ) -> Sequence[RequestRecord]:
        """Those of these requests that there are, as `load` gives them, in any order."""
        ...

    async def attached(self, connection: AsyncConnection, agent: str, digest: str) -> str | None:
        """The id of the request that this agent asking for this action is attached to."""
        ...

    async def detach(self, connection: AsyncConnection, request_id: str) -> None:
        """Let the next asking for the same action make a new request."""
        ...

    async def update(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        """Write what a transition changed. At the end its deadlines go; unless approved, it detaches."""
        ...

    async def revise(
        self,
        connection: AsyncConnection,
        request: ApprovalRequest,
        canonical: bytes,
        revisions: Sequence[Revision],
    ) -> None:
        """Write an edited request whole, its new action, and the revisions that are not stored yet."""
        ...

    async def add_decision(self, connection: AsyncConnection, decision: Decision) -> None: ...

    async def request_of_key(self, connection: AsyncConnection, agent: str, key: str) -> str | None: ...

    async def remember_key(
        self, connection: AsyncConnection, agent: str, key: str, request_id: str, at: datetime
    ) -> None: ...

    async def add_answer(self, connection: AsyncConnection, answer: GivenAnswer) -> None: ...

    async def put_question(self, connection: AsyncConnection, question: QuestionBack) -> None:
        """Store a question that was asked back; one of the same id with its reply, in place of it."""
        ...

    async def statuses(
        self, connection: AsyncConnection, request_ids: Collection[str]
    ) -> Mapping[str, RequestStatus]: ...

    async def versions(self, connection: AsyncConnection, request_ids: Collection[str]) -> Mapping[str, int]:
        """The version that each request has now; those that are not there are left out."""
        ...

    async def page(
        self,
        connection: AsyncConnection,
        *,
        agent: str | None,
        status: RequestStatus | None,
        limit: int,
        after: ListPosition | None,
    ) -> tuple[Sequence[RequestRecord], bool]:
        """At most `limit` records, fewer where their actions are large, and whether more follow."""
        ...

    async def revoked_tokens(
        self, connection: AsyncConnection, *, since: datetime, now: datetime
    ) -> Sequence[RevokedToken]:
        """Tokens of approvals revoked at or after `since` and perhaps not expired at `now`, oldest first."""
        ...

    async def action_bytes(self, connection: AsyncConnection, digest: str) -> bytes | None: ...


class GrantUsing(Protocol):
    """One transaction in which a grant may be used."""

    @property
    def connection(self) -> AsyncConnection: ...

    async def usable(self, grant: Grant) -> bool:
        """Whether it may be used once more, as it is in this transaction."""
        ...

    async def use(self, offer: GrantOffer) -> None:
        """Count one use, for the request that was just stored, and record it in the audit log."""
        ...


class GrantBook(Protocol):
    """What people allowed in advance. Rows that this server did not write, or that were set back, do not
    count.
    """

    async def live(self, agent: str) -> Sequence[Grant]:
        """The grants of this agent that may be used now; asks the database only after something changed."""
        ...

    async def write(self, operation: Callable[[GrantUsing], Awaitable[T]]) -> T:
        """Run `operation` as one write; it may run more than once."""
        ...

    async def evidence(self, request_id: str) -> GrantEvidence | None:
        """The use that approved this request, when there is one that counts."""
        ...


@dataclass(frozen=True, slots=True)
class ApprovalPorts:
    """Everything the approval service stands on, handed over by wiring."""

    database: Database
    store: RequestStore
    audit: AuditTrail
    outbox: Outbox
    people: PeopleDirectory
    agents: AgentFactsDirectory
    risk: RiskAssessor
    policy: Policy
    sealer: Sealer
    minter: Minter
    clock: Clock
    grants: GrantBook | None = None
    canaries: CanaryBook | None = None
    tracing: RequestTracing = field(default_factory=Untraced)
