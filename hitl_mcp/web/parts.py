"""What the HTTP doors are given by wiring, and how a route finds it and its caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from hitl_contract.audit_chain import AuditEntry, Checkpoint
from hitl_contract.audit_verification import ChainReport
from hitl_contract.keys import PublicKeys
from hitl_contract.verify import VerificationPolicy
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.attention.records import AttentionRecords
from hitl_mcp.grants.directory import GrantDirectory
from hitl_mcp.identity.agents import AgentDirectory
from hitl_mcp.identity.delegations import DelegationDirectory
from hitl_mcp.identity.hierarchy import Role
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.sessions import SessionRecord, Sessions
from hitl_mcp.interface.principals import remembered_agent
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.policies.live import LivePolicy
from hitl_mcp.web.authentication import session_of
from server_kit.audit_courier import WitnessState
from server_kit.audit_records import AuditQuery
from server_kit.clock import Clock
from server_kit.database.base import Database
from server_kit.problems import ProblemDetail


class AuditReader(Protocol):
    """The audit log, as it is read from outside."""

    @property
    def public_keys(self) -> PublicKeys:
        """What verifies its checkpoints and segments."""
        ...

    @property
    def witness_state(self) -> WitnessState | None:
        """How far behind the second place is; None when none is configured."""
        ...

    async def search(self, query: AuditQuery, *, after: int = 0, limit: int = 500) -> list[AuditEntry]:
        """Entries that are asked for and follow a sequence number, oldest first."""
        ...

    def lines(self) -> AsyncIterator[bytes]:
        """The whole log as JSON Lines."""
        ...

    async def checkpoint(self) -> Checkpoint | None:
        """Sign the head; None when nothing came since the last time."""
        ...

    async def verify(self, keys: PublicKeys) -> ChainReport:
        """Check the whole log."""
        ...


@dataclass(frozen=True)
class WebParts:
    """The approval server as its HTTP doors see it."""

    service: ApprovalService
    rules: LivePolicy
    views: ApprovalViews
    agents: AgentDirectory
    people: PeopleDirectory
    delegations: DelegationDirectory
    grants: GrantDirectory
    attention: AttentionRecords
    sessions: Sessions
    audit: AuditReader
    database: Database
    clock: Clock
    public_keys: Callable[[], PublicKeys]
    revoked_tokens: Callable[[], Awaitable[str]]
    token_policy: VerificationPolicy
    session_seconds: int
    metrics_token: str | None


@dataclass(frozen=True, slots=True)
class AgentCaller:
    """A request that came with an agent's API key."""

    name: str


@dataclass(frozen=True, slots=True)
class PersonCaller:
    """A request that came with a person's session."""

    session: SessionRecord

    @property
    def person_id(self) -> str:
        return self.session.person.person_id


Caller = AgentCaller | PersonCaller


def caller_of(request: Request) -> Caller:
    """Who sent the request.

    Raises:
        ProblemDetail: 401, nobody has been recognised.
    """
    agent, session = remembered_agent(request.scope), session_of(request.scope)
    if agent is not None:
        return AgentCaller(agent)
    if session is not None:
        return PersonCaller(session)
    raise ProblemDetail(
        401,
        "credential_missing",
        "Send a credential as a bearer token.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def require_agent(request: Request) -> AgentCaller:
    """The calling agent.

    Raises:
        ProblemDetail: 401 for nobody, 403 for a person: people ask for nothing in an agent's name.
    """
    caller = caller_of(request)
    if not isinstance(caller, AgentCaller):
        raise ProblemDetail(
            403, "agent_needed", "Only an agent's API key may do this, not a person's session."
        )
    return caller


def require_person(request: Request) -> PersonCaller:
    """The calling person.

    Raises:
        ProblemDetail: 401 for nobody, 403 for an agent: an agent's key never decides.
    """
    caller = caller_of(request)
    if not isinstance(caller, PersonCaller):
        raise ProblemDetail(
            403, "person_needed", "Only a person's session may do this, not an agent's API key."
        )
    return caller


def require_auditor(request: Request) -> PersonCaller:
    """The calling person, who may read the audit log: an administrator or an auditor.

    Raises:
        ProblemDetail: 401 or 403.
    """
    caller = require_person(request)
    if not {Role.ADMIN, Role.AUDITOR} & {*caller.session.person.roles}:
        raise ProblemDetail(
            403, "auditor_needed", "Only a person with the role admin or auditor may read the audit log."
        )
    return caller


def evidence_of(request: Request, caller: PersonCaller) -> dict[str, str]:
    """What shows afterwards that it was this person."""
    return {
        "session": caller.session.session_id,
        "address": request.client.host if request.client else "unknown",
    }
