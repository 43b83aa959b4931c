"""A call of which steps 1 to 8 of the gate have held, and the execution and job that come of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from executor_mcp.examination import Verdict
from executor_mcp.jobs import job_of
from executor_mcp.models import Execution, ExecutionStatus, SandboxIdentity, UsedPackage
from executor_mcp.packages.adding import PLACE, AdditionJob
from executor_mcp.packages.installing import tool_of
from executor_mcp.packages.locked import Approval
from executor_mcp.packages.planning import Plan
from executor_mcp.quotas import Demand
from executor_mcp.sandbox.base import PreparedRun
from executor_mcp.sandbox.run import STOP_GRACE_SECONDS
from executor_mcp.workplace import Job
from hitl_contract.action import CodeExecution, PackageAddition
from hitl_contract.action_code import Language
from hitl_contract.verify import VerifiedCapability

_LATE_END_SECONDS: Final = 15.0
"""From a program's wall limit to the recorded end of its execution, as a rule."""


@dataclass(frozen=True, slots=True)
class Admissible:
    """`action` has its files resolved. An addition's `verdict` has the plan of it."""

    capability: VerifiedCapability
    action: CodeExecution | PackageAddition
    verdict: Verdict

    def job(self, execution_id: str) -> Job:
        """All of it comes from the approved action and what was judged of it."""
        claims = self.capability.token.claims
        if isinstance(self.action, CodeExecution):
            return job_of(execution_id, self.action, self.verdict.layers, principal=claims.subject)
        people = tuple(dict.fromkeys(one.person for one in claims.approved_by))
        approval = Approval(request_id=claims.request_id, agent=claims.subject, people=people)
        return AdditionJob(execution_id, self._plan, approval)

    def execution(self, execution_id: str, *, owner: str, now: datetime) -> Execution:
        """Not begun, and not recorded yet."""
        claims = self.capability.token.claims
        return Execution(
            execution_id=execution_id,
            token_id=claims.token_id,
            request_id=claims.request_id,
            agent=claims.subject,
            action_digest=self.capability.action_digest,
            language=str(self.action.language),
            owner=owner,
            sandbox=self._place(),
            status=ExecutionStatus.PENDING,
            created_at=now,
            started_at=None,
            finished_at=None,
            outcome=None,
            receipt=None,
            cancel_requested=False,
            warnings=self.verdict.warnings,
            packages=tuple(UsedPackage(layer.package, layer.digest) for layer in self.verdict.layers),
            demand=self._demand(),
        )

    @property
    def _plan(self) -> Plan:
        if self.verdict.addition is None:
            raise TypeError("an addition was let through without a plan")
        return self.verdict.addition

    def _place(self) -> SandboxIdentity:
        sandbox = self.verdict.sandbox
        if isinstance(self.action, PackageAddition):
            return SandboxIdentity(PLACE, tool_of(Language(self.action.language)), None)
        return SandboxIdentity(sandbox.backend, sandbox.runtime, sandbox.image_digest)

    def _demand(self) -> Demand:
        if isinstance(self.action, PackageAddition):
            seconds = self._plan.wall_seconds
            return Demand(seconds + _LATE_END_SECONDS, seconds)
        limits = self.action.limits
        return Demand(
            limits.wall_seconds + _LATE_END_SECONDS,
            (limits.wall_seconds + STOP_GRACE_SECONDS) * limits.cpus,
        )


def where(execution: Execution, prepared: PreparedRun) -> SandboxIdentity:
    """Of this very sandbox: since it was described the image's name may mean another."""
    backend = prepared.backend or execution.sandbox.backend
    return replace(execution.sandbox, backend=backend, image_digest=prepared.image_digest)
