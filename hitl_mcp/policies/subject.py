"""What rules look at: one request, who makes it, how risky it is, and the moment.

Each fact that a rule can match on is worked out once, the first time a rule asks for it.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from urllib.parse import urlsplit

from code_safety.findings import Finding
from hitl_contract.action import Action
from hitl_contract.action_code import CodeExecution, NetworkMode
from hitl_contract.action_operations import FileChange, HttpRequest, ShellCommand
from hitl_contract.action_packages import PackageAddition
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment
from hitl_mcp.policies.conditions import Variables


@dataclass(frozen=True)
class Subject:
    """`findings` is None when nobody analysed the action; conditions that name them are then undecided."""

    agent: AgentFacts
    submission: Submission
    risk: RiskAssessment
    now: datetime
    findings: Sequence[Finding] | None = None

    @property
    def action(self) -> Action:
        return self.submission.action

    @cached_property
    def roles(self) -> frozenset[str]:
        return frozenset(person_key(role) for role in self.agent.roles)

    @cached_property
    def network(self) -> bool:
        """Whether it may reach anything over a network: true unless it is known that it cannot."""
        match self.action:
            case CodeExecution():
                return self.action.network.mode is not NetworkMode.NONE
            case FileChange():
                return False
            case _:
                return True

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts that the action says it reaches, in lower case."""
        match self.action:
            case CodeExecution():
                return self.action.network.domains
            case HttpRequest():
                return ((urlsplit(self.action.url).hostname or "").rstrip(".").lower(),)
            case _:
                return ()

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """What a program asks for, or all that an addition would install, as it is written there."""
        match self.action:
            case CodeExecution():
                return self.action.packages
            case PackageAddition():
                return (*self.action.packages, *self.action.needs)
            case _:
                return ()

    @cached_property
    def path(self) -> str | None:
        """The path of a file change without `.`, `..` and doubled slashes."""
        return normal_path(self.action.path) if isinstance(self.action, FileChange) else None

    @cached_property
    def program(self) -> str | None:
        """The program of a shell command as it is written, with its directories."""
        return self.action.argv[0] if isinstance(self.action, ShellCommand) else None

    @cached_property
    def variables(self) -> Variables:
        """The values of `conditions.VARIABLES`. What an action does not have is left out."""
        action, agent = self.action, self.agent
        values: dict[str, object] = {
            "action": action.model_dump(mode="json"),
            "action_type": action.type,
            "agent.name": agent.name,
            "agent.roles": sorted(self.roles),
            "agent.environment": agent.environment,
            "agent.trusted": agent.trusted,
            "agent.owner": agent.owner or "",
            "environment": agent.environment,
            "risk": self.risk.level.rank,
            **{level.value: level.rank for level in RiskLevel},
            "votes": {vote.assessor: vote.level.rank for vote in self.risk.votes if vote.level is not None},
            "network": self.network,
            "hosts": list(self.hosts),
            "packages": list(self.packages),
            "language": "",
            "justification": self.submission.justification,
            "now": self.now,
        }
        if self.submission.risk_level is not None:
            values["claimed_risk"] = self.submission.risk_level.rank
        if self.findings is not None:
            values["findings"] = [_finding(each) for each in self.findings]
        if self.path is not None:
            values["path"] = self.path
        if self.program is not None:
            values["program"] = self.program
        if isinstance(action, PackageAddition):
            values["language"] = action.language
        if isinstance(action, CodeExecution):
            values["language"] = action.language.value
            values["code_length"] = len(action.code)
            values["execution_time"] = math.ceil(action.limits.wall_seconds)
        return Variables(values)


def normal_path(path: str) -> str:
    """The path in its shortest form; a relative one stays relative, and may start with `..`."""
    shortest = posixpath.normpath(path.replace("\\", "/"))
    return shortest[1:] if shortest.startswith("//") else shortest


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": str(finding.rule),
        "severity": finding.severity.rank,
        "unknown": finding.unknown,
        "message": finding.message,
        "where": finding.where,
        "line": finding.line or 0,
    }
