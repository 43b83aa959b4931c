"""What the approval service needs from the rest of the server. Concrete classes meet it only in wiring.

Above: `ApprovalService`. Below: `hitl_mcp.storage` (RequestStore), `hitl_mcp.minting` (Minter, and the Sealer
of `sealer.py`), `hitl_mcp.audit` (AuditTrail), `hitl_mcp.policies` (Policy), `hitl_mcp.identity`
(PeopleDirectory), `hitl_mcp.notifiers` (Outbox).

Every method that takes a connection belongs to the caller's transaction: it commits or rolls back with it,
may run again when the transaction is retried, and has no other effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    IssuedToken,
    Outcome,
    RequestRecord,
    RequestStatus,
    Submission,
)
from hitl_mcp.approvals.proof import ProvenApproval
from hitl_mcp.approvals.sealer import Sealer
from server_kit.clock import Clock
from server_kit.database.base import Database


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


class NotificationKind(StrEnum):
    """What people are told about. CREATED sends cards, CHANGED redraws them, ENDED closes them."""

    CREATED = "created"
    CHANGED = "changed"
    ENDED = "ended"


class Outbox(Protocol):
    async def enqueue(self, connection: AsyncConnection, kind: NotificationKind, request_id: str) -> None:
        """Owe every channel this news. Publishes its own wake-up for the dispatcher."""
        ...


class Policy(Protocol):
    async def evaluate(self, agent: str, submission: Submission) -> Outcome: ...


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


class DeadlineKind(StrEnum):
    EXPIRY = "expiry"


@dataclass(frozen=True, slots=True)
class Deadline:
    request_id: str
    kind: DeadlineKind
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ListPosition:
    """The last record of a page; the next page starts below it."""

    created_at: datetime
    request_id: str


class RequestStore(Protocol):
    async def insert(self, connection: AsyncConnection, request: ApprovalRequest, canonical: bytes) -> bool:
        """Store a new request, its action and its deadline; the same agent asking again is attached to it.

        False, and nothing stored but the action, when another request holds that place.
        """
        ...

    async def load(self, connection: AsyncConnection, request_id: str) -> RequestRecord | None:
        """The request and its decisions; within a write nobody else changes it until that ends."""
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

    async def add_decision(self, connection: AsyncConnection, decision: Decision) -> None: ...

    async def request_of_key(self, connection: AsyncConnection, agent: str, key: str) -> str | None: ...

    async def remember_key(
        self, connection: AsyncConnection, agent: str, key: str, request_id: str, at: datetime
    ) -> None: ...

    async def drop_deadlines(self, connection: AsyncConnection, request_id: str) -> None: ...

    async def due(self, connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Deadline]: ...

    async def next_due(self, connection: AsyncConnection) -> datetime | None: ...

    async def statuses(
        self, connection: AsyncConnection, request_ids: Collection[str]
    ) -> Mapping[str, RequestStatus]: ...

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

    async def action_bytes(self, connection: AsyncConnection, digest: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class ApprovalPorts:
    """Everything the approval service stands on, handed over by wiring."""

    database: Database
    store: RequestStore
    audit: AuditTrail
    outbox: Outbox
    people: PeopleDirectory
    policy: Policy
    sealer: Sealer
    minter: Minter
    clock: Clock
