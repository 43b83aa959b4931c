"""A small world around the approval service: real database, keys, seals and audit log, people by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import Action, parse_action
from hitl_contract.capability import DEFAULT_LIFETIME_SECONDS
from hitl_contract.verify import VerificationPolicy
from hitl_mcp.approvals.models import (
    APPROVAL_VALIDITY_SECONDS,
    Assurance,
    DecisionInput,
    RequestRecord,
    RiskLevel,
    Submission,
    Verdict,
)
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind, PeopleDirectory, PersonRecord, Policy
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.standins import ClaimedRisk, RolesAsGroups, UndescribedAgents
from hitl_mcp.approvals.terms import (
    AgentFacts,
    GroupQuorum,
    RiskAssessment,
    RuleVerdict,
    Ruling,
    Stage,
    Terms,
)
from hitl_mcp.approvals.tracing import RequestTracing, Untraced
from hitl_mcp.audit.trail import CHAIN, SqlAuditTrail
from hitl_mcp.minting.keys import KeyRing
from hitl_mcp.minting.seals import ApprovalSealer, RecordSealer
from hitl_mcp.minting.signer import CapabilityMinter
from hitl_mcp.storage.request_store import SqlRequestStore
from hitl_mcp.storage.schema import audit, metadata, outbox
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database
from tests.tables import create_tables

ISSUER = "https://approvals.example"
AUDIENCE = "executor"


class HandKeptPeople:
    """What `RolesAsGroups` needs: whoever is in `eligible_people` may decide."""

    def __init__(self, names: Iterable[str]) -> None:
        self.eligible_people = set(names)

    async def eligible(self, person_id: str) -> PersonRecord | None:
        for name in self.eligible_people:
            if person_key(name) == person_key(person_id):
                return PersonRecord(name, name, ("approver",))
        return None


class OneRowOutbox:
    """Implements `ports.Outbox` on the real table, for one channel."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def enqueue(self, connection: AsyncConnection, kind: NotificationKind, request_id: str) -> None:
        now = self._clock.now()
        await connection.execute(
            outbox.insert(),
            {"kind": kind.value, "request_id": request_id, "channel": "c", "created_at": now, "due_at": now},
        )


@dataclass
class AskSeveral:
    """Implements `ports.Policy`: ask `required` approvers."""

    required: int = 1
    assurance: Assurance = Assurance.CHAT

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        terms = Terms(stages=(Stage((GroupQuorum(count=self.required),)),), required_assurance=self.assurance)
        return Ruling(f"ask-{self.required}", RuleVerdict.ASK, risk, terms)


async def create_schema(database: Database) -> None:
    await create_tables(database, metadata)


def open_or_create_keys(home: Path, clock: Clock) -> KeyRing:
    directory = home / "keys"
    if (directory / "keyring.json").exists():
        return KeyRing.open(directory, clock=clock)
    return KeyRing.create(directory, clock=clock)


@dataclass
class World:
    """One server's approval core. Two worlds on one database and one home are two processes of one server."""

    database: Database
    clock: Clock
    home: Path
    policy: Policy = field(default_factory=AskSeveral)
    validity_seconds: int = APPROVAL_VALIDITY_SECONDS
    token_lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS
    groups: PeopleDirectory | None = None
    tracing: RequestTracing = field(default_factory=Untraced)

    def __post_init__(self) -> None:
        self.keys = open_or_create_keys(self.home, self.clock)
        self.people = HandKeptPeople({"alice", "bob", "carol"})
        self.audit_log = AuditLog(
            database=self.database,
            tables=audit,
            chain=CHAIN,
            private_key=self.keys.audit_key.private,
            key_id=self.keys.audit_key.key_id,
            witness=None,
            clock=self.clock,
        )
        self.sealer = ApprovalSealer(RecordSealer(self.keys.seal_key))
        self.ports = ApprovalPorts(
            database=self.database,
            store=SqlRequestStore(self.database.dialect),
            audit=SqlAuditTrail(self.audit_log, audit),
            outbox=OneRowOutbox(self.clock),
            people=self.groups or RolesAsGroups(self.people),
            agents=UndescribedAgents(),
            risk=ClaimedRisk(),
            policy=self.policy,
            sealer=self.sealer,
            minter=CapabilityMinter(signing_key=self.keys.signing_key, issuer=ISSUER, audience=AUDIENCE),
            clock=self.clock,
            tracing=self.tracing,
        )
        self.service = ApprovalService(
            self.ports,
            validity_seconds=self.validity_seconds,
            token_lifetime_seconds=self.token_lifetime_seconds,
        )

    @property
    def verification(self) -> VerificationPolicy:
        return VerificationPolicy(issuer=ISSUER, audience=AUDIENCE)

    async def events_about(self, request_id: str) -> list[str]:
        async def operation(connection: AsyncConnection) -> list[str]:
            return [entry.event for entry in await self.ports.audit.about(connection, request_id)]

        return await self.database.read(operation)

    async def notifications_about(self, request_id: str) -> list[str]:
        async def operation(connection: AsyncConnection) -> list[str]:
            query = select(outbox.c.kind).where(outbox.c.request_id == request_id).order_by(outbox.c.id)
            return list((await connection.execute(query)).scalars())

        return await self.database.read(operation)

    async def count(self, table: str) -> int:
        async def operation(connection: AsyncConnection) -> int:
            query = select(func.count()).select_from(metadata.tables[table])
            return (await connection.execute(query)).scalar_one()

        return await self.database.read(operation)

    async def approved(self, agent: str = "agent-1", code: str = "print(1)") -> RequestRecord:
        """A request that enough people approved."""
        record = await self.service.submit(agent, submission(code))
        for person in ["alice", "bob", "carol"][: record.request.required_approvals]:
            record = await self.service.decide(verdict(record, person))
        return record


def program(code: str = "print(1)") -> Action:
    return parse_action({"type": "code_execution", "language": "python", "code": code})


def submission(
    code: str = "print(1)",
    *,
    key: str | None = None,
    timeout: int | None = None,
    risk: RiskLevel | None = None,
    justification: str = "to see it run",
) -> Submission:
    return Submission(
        action=program(code),
        justification=justification,
        risk_level=risk,
        timeout_seconds=timeout,
        idempotency_key=key,
    )


def verdict(
    record: RequestRecord,
    person: str,
    given: Verdict = Verdict.APPROVE,
    *,
    channel: str = "web",
    assurance: Assurance = Assurance.SESSION,
    reason: str | None = None,
    digest: str | None = None,
) -> DecisionInput:
    return DecisionInput(
        request_id=record.request.request_id,
        person=person,
        verdict=given,
        reason=reason,
        channel=channel,
        assurance=assurance,
        action_digest=digest or record.request.action_digest,
        evidence={"session": "s-1"},
    )
