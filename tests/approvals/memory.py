"""The approval service over a store in memory, for checks that need every order of acts and not a database.

Everything but storage is the real thing: decisions, edits, withdrawals, seals and proof. The whole state is
one value that can be kept and put back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar, cast

from pydantic import JsonValue

from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals.models import ApprovalRequest, Decision, IssuedToken, RequestRecord, Revision
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind, PeopleDirectory, Policy
from hitl_mcp.approvals.proof import ProvenApproval
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.standins import ClaimedRisk, UndescribedAgents
from hitl_mcp.minting.seals import ApprovalSealer, RecordSealer
from hitl_mcp.storage.errors import ConcurrentChange
from tests.conftest import ManualClock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that is stored."""

    records: Mapping[str, RequestRecord] = field(default_factory=dict[str, RequestRecord])
    trail: tuple[AuditEntry, ...] = ()
    news: tuple[tuple[str, str], ...] = ()


class MemoryDatabase:
    """Implements what the service uses of `server_kit.database.base.Database`."""

    dialect = "sqlite"

    def __init__(self) -> None:
        self.kept = Kept()
        self.changes: Any = self

    async def write(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        before = self.kept
        try:
            return await operation(None)
        except BaseException:
            self.kept = before
            raise

    async def read(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        return await operation(None)

    async def publish(self, connection: Any, key: str) -> None:
        pass

    @asynccontextmanager
    async def watch(self, key: str) -> Any:
        yield None


class MemoryStore:
    """Implements what the checks need of `ports.RequestStore`, `AuditTrail` and `Outbox`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def _put(self, record: RequestRecord) -> None:
        kept = self._database.kept
        records = {**kept.records, record.request.request_id: record}
        self._database.kept = replace(kept, records=records)

    async def insert(self, connection: Any, request: ApprovalRequest, canonical: bytes) -> bool:
        self._put(RequestRecord(request, ()))
        return True

    async def load(self, connection: Any, request_id: str) -> RequestRecord | None:
        return self._database.kept.records.get(request_id)

    async def update(self, connection: Any, request: ApprovalRequest) -> None:
        record = self._database.kept.records[request.request_id]
        if record.request.version != request.version - 1:
            raise ConcurrentChange(request.request_id, request.version)
        self._put(replace(record, request=request))

    async def revise(
        self, connection: Any, request: ApprovalRequest, canonical: bytes, revisions: Sequence[Revision]
    ) -> None:
        await self.update(connection, request)
        record = self._database.kept.records[request.request_id]
        self._put(replace(record, revisions=(*record.revisions, *revisions)))

    async def add_decision(self, connection: Any, decision: Decision) -> None:
        record = self._database.kept.records[decision.request_id]
        self._put(replace(record, decisions=(*record.decisions, decision)))

    async def append(
        self, connection: Any, event: str, *, actor: str, subject: str, details: Mapping[str, JsonValue]
    ) -> AuditEntry:
        entry = AuditEntry("hitl", 0, "at", event, actor, subject, dict(details), "previous", "hash")
        self._database.kept = replace(self._database.kept, trail=(*self._database.kept.trail, entry))
        return entry

    async def about(
        self, connection: Any, subject: str, events: Collection[str] | None = None
    ) -> Sequence[AuditEntry]:
        return [
            each
            for each in self._database.kept.trail
            if each.subject == subject and (events is None or each.event in events)
        ]

    async def enqueue(self, connection: Any, kind: NotificationKind, request_id: str) -> None:
        kept = self._database.kept
        self._database.kept = replace(kept, news=(*kept.news, (kind.value, request_id)))

    def __getattr__(self, name: str) -> Any:
        # What is only housekeeping here: deadlines, attaching, idempotency keys.
        if name.startswith("_"):
            raise AttributeError(name)

        async def nothing(*_arguments: object, **_named: object) -> None:
            return None

        return nothing


class NamingMinter:
    """Implements `ports.Minter`: a token that says what it is for."""

    def mint(self, approval: ProvenApproval, *, issued_at: int, expires_at: int) -> IssuedToken:
        moment = datetime.fromtimestamp(expires_at, approval.valid_until.tzinfo)
        return IssuedToken(f"{approval.way} {approval.request.action_digest}", moment, approval.token_id)


@dataclass
class MemoryWorld:
    """Two services on one store, as two processes of one server are."""

    policy: Policy
    people: PeopleDirectory
    clock: ManualClock
    validity_seconds: int = 3600

    def __post_init__(self) -> None:
        self.database = MemoryDatabase()
        store = cast("Any", MemoryStore(self.database))
        ports = ApprovalPorts(
            database=cast("Any", self.database),
            store=store,
            audit=store,
            outbox=store,
            people=self.people,
            agents=UndescribedAgents(),
            risk=ClaimedRisk(),
            policy=self.policy,
            sealer=ApprovalSealer(RecordSealer(b"k" * 32)),
            minter=NamingMinter(),
            clock=self.clock,
        )
        self.services = [ApprovalService(ports, validity_seconds=self.validity_seconds) for _ in range(2)]
