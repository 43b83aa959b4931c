"""Approvers, an agent and the approval core over a real register, audit log and database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from hitl_contract.action import parse_action
from hitl_mcp.approvals.grants import Grant
from hitl_mcp.approvals.models import Assurance, RequestRecord, RiskLevel, Submission
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RuleVerdict, Ruling, Terms
from hitl_mcp.grants.book import SqlGrantBook
from hitl_mcp.grants.directory import GrantDirectory
from hitl_mcp.grants.forms import Confirmation, GrantForm
from hitl_mcp.identity.agents import AgentDirectory
from hitl_mcp.identity.groups import GroupDirectory
from hitl_mcp.identity.passwords import Passwords
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.register import IdentityRegister
from hitl_mcp.identity.sign_in import SignInThrottle
from hitl_mcp.minting.seals import RecordSealer
from hitl_mcp.shapes.shape import patterns_from
from server_kit.clock import Clock
from server_kit.database.base import Database
from tests.approvals.world import World

UP_TO_50: Mapping[str, Any] = {"/arguments/amount": {"pattern": "at_most", "maximum": 50}}


@dataclass
class Rule:
    """Implements `ports.Policy`: what `ruling` says now."""

    terms: Terms = field(default_factory=Terms)
    verdict: RuleVerdict = RuleVerdict.ASK
    name: str = "payments"

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        return Ruling(self.name, self.verdict, risk, self.terms, "Money moves.")


@dataclass
class Scene:
    """One process of the server. Two scenes on one database and one home are two processes."""

    database: Database
    clock: Clock
    home: Path
    rule: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        self.world = World(self.database, self.clock, self.home, self.rule)
        sealer, trail = RecordSealer(self.world.keys.seal_key), self.world.ports.audit
        self.register = IdentityRegister(
            database=self.database, sealer=sealer, audit=trail, clock=self.clock, anchor=None
        )
        self.people = PeopleDirectory(
            self.register,
            passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)),
            throttle=SignInThrottle(database=self.database, audit=trail, clock=self.clock),
        )
        self.agents, self.groups = AgentDirectory(self.register), GroupDirectory(self.register)
        self.book = SqlGrantBook(self.register)
        self.ports = replace(self.world.ports, people=self.people, agents=self.agents, grants=self.book)
        self.service = ApprovalService(self.ports)
        self.grants = GrantDirectory(
            self.register, people=self.people, sealer=self.world.sealer, find=self.service.get
        )

    async def ask(self, amount: Any = 20, agent: str = "payer", **more: Any) -> RequestRecord:
        return await self.service.submit(agent, payment(amount, **more))

    async def form(
        self, record: RequestRecord, person: str = "ada", vary: Mapping[str, Any] = UP_TO_50, **more: Any
    ) -> GrantForm:
        fields: dict[str, Any] = {"uses": 3, "expires_at": self.clock.now() + timedelta(days=1), **more}
        request = record.request
        return GrantForm(
            request.request_id, person, request.action_digest, vary=patterns_from(vary), **fields
        )

    async def grant(self, record: RequestRecord | None = None, person: str = "ada", **more: Any) -> Grant:
        assurance = more.pop("assurance", Assurance.SESSION)
        form = await self.form(record or await self.ask(), person, **more)
        digest = (await self.grants.preview(form)).wording_digest
        return await self.grants.make(form, Confirmation(digest, "web", assurance))

    async def token(self, record: RequestRecord) -> str:
        return (await self.service.collect_token(record.request.agent, record.request.request_id)).token


def payment(amount: Any = 20, *, to: str = "acme", risk: RiskLevel = RiskLevel.LOW) -> Submission:
    action = {
        "type": "tool_call",
        "server": "bank",
        "tool": "pay",
        "arguments": {"amount": amount, "to": to},
    }
    return Submission(parse_action(action), "the invoice is due", risk_level=risk)
