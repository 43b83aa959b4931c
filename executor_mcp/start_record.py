"""The one transaction that spends a token, stores its execution and writes "execution.started" to the audit
log.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.examination import Verdict
from executor_mcp.models import Execution
from executor_mcp.refusals import already_executed, revoked
from executor_mcp.revoked_tokens import RevokedTokens
from executor_mcp.spent_tokens import AlreadySpent, SpentTokens
from executor_mcp.steps import Step, StepObserver
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.tracing import current_trace_id
from hitl_contract.verify import VerifiedToken
from server_kit.audit_log import AuditLog
from server_kit.database.base import Database
from server_kit.errors import ServerError


class StartRecord:
    """Either all of it is durable when `write` returns, or the call is refused."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        spent: SpentTokens,
        revocations: RevokedTokens,
        executions: ExecutionStore,
        steps: StepObserver,
        spent_one: Callable[[], None],
    ) -> None:
        self._database = database
        self._audit = audit
        self._spent = spent
        self._revocations = revocations
        self._executions = executions
        self._steps = steps
        self._spent_one = spent_one

    async def refuse_if_known(self, token_id: str) -> None:
        """A cheap look before a sandbox is prepared. It decides nothing in favour: `write` does.

        Raises:
            Refused: `already_used`, or `storage_unavailable`.
        """
        try:
            execution_id = await self._spent.execution_of(token_id)
        except ServerError as error:
            raise _not_recorded(error, step=9) from error
        if execution_id is not None:
            raise already_executed(execution_id)

    async def write(self, execution: Execution, token: VerifiedToken, verdict: Verdict) -> None:
        """Steps 9 and 10 of the gate.

        Raises:
            Refused: `already_used`, `revoked`, or `storage_unavailable` when it could not be made durable.
        """
        claims = token.claims
        approvers: list[JsonValue] = [approver.person for approver in claims.approved_by]
        packages: list[JsonValue] = [f"{one.package} {one.layer}" for one in execution.packages]
        rules: list[JsonValue] = [*sorted({finding.rule.value for finding in verdict.findings})]
        warnings: list[JsonValue] = [*verdict.warnings]
        trace_id = current_trace_id()

        async def write(connection: AsyncConnection) -> None:
            if await self._revocations.is_revoked_within(connection, claims.token_id):
                raise revoked()
            await self._spent.spend(
                connection, claims.token_id, execution.execution_id, spent_at=execution.created_at
            )
            await self._executions.insert(connection, execution)
            await self._steps.reached(Step.SPENT_NOT_COMMITTED)
            await self._audit.append(
                connection,
                "execution.started",
                actor=claims.subject,
                subject=execution.execution_id,
                details={
                    "token_id": claims.token_id,
                    "request_id": claims.request_id,
                    "action_digest": execution.action_digest,
                    "approved_by": approvers,
                    "language": execution.language,
                    "backend": execution.sandbox.backend,
                    "image_digest": execution.sandbox.image_digest,
                    "policy": verdict.policy,
                    "findings": rules,
                    "warnings": warnings,
                    **({"packages": packages} if packages else {}),
                    **({"trace_id": trace_id} if trace_id is not None else {}),
                },
            )
            await self._steps.reached(Step.AUDITED_NOT_COMMITTED)

        try:
            await self._database.write(write)
        except AlreadySpent as error:
            raise already_executed(error.execution_id) from error
        except ServerError as error:
            raise _not_recorded(error, step=10) from error
        self._spent_one()


def _not_recorded(error: ServerError, *, step: int) -> Refused:
    return Refused(
        RefusalReason.STORAGE_UNAVAILABLE,
        f"nothing was run because it could not be recorded ({type(error).__name__}); "
        "try again with the same token in a few seconds",
        step=step,
    )
