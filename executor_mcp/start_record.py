"""The transactions that spend a token: one begins its execution at once, one lets it wait; and the one that
begins what waited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.examination import Verdict
from executor_mcp.models import Execution
from executor_mcp.quotas import Excess, PrincipalKind, QuotaRules
from executor_mcp.refusals import already_executed, over_quota, revoked
from executor_mcp.revoked_tokens import RevokedTokens
from executor_mcp.spent_tokens import AlreadySpent, SpentTokens
from executor_mcp.steps import Step, StepObserver
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.storage.quota_uses import find_excess, note_approvers
from executor_mcp.storage.waiting import WaitingStore, WaitingWork
from executor_mcp.waiting_time import expected_wait
from hitl_contract.verify import VerifiedToken
from server_kit.audit_log import AuditLog
from server_kit.database.base import Database
from server_kit.errors import ServerError
from server_kit.tracing import current_trace_id

MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
_LATELY = timedelta(seconds=60)


@dataclass(frozen=True)
class SharedBounds:
    """What all executors of one database keep together.

    `most_waiting` None is no queue. `at_a_time` None bounds nothing but each executor's own places.
    """

    quotas: QuotaRules = field(default_factory=QuotaRules)
    at_a_time: int | None = None
    most_waiting: int | None = None
    longest_wait_seconds: float = 300.0


class NoLongerOurs(Exception):
    """What waited was taken over, ended or is to be cancelled: it must not begin here."""


class _OverQuota(Exception):
    def __init__(self, excess: Excess) -> None:
        self.excess = excess
        super().__init__(excess.text)


class _Full(Exception):
    def __init__(self, detail: str, retry_seconds: float) -> None:
        self.detail = detail
        self.retry_seconds = retry_seconds
        super().__init__(detail)


class StartRecord:
    """Either all of it is durable when a method returns, or the call is refused."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        spent: SpentTokens,
        revocations: RevokedTokens,
        executions: ExecutionStore,
        waiting: WaitingStore,
        bounds: SharedBounds,
        steps: StepObserver,
        spent_one: Callable[[], None],
    ) -> None:
        self._database = database
        self._audit = audit
        self._spent = spent
        self._revocations = revocations
        self._executions = executions
        self._waiting = waiting
        self._bounds = bounds
        self._steps = steps
        self._spent_one = spent_one

    @property
    def bounds(self) -> SharedBounds:
        return self._bounds

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

    async def refuse_unless_spent_on(self, token_id: str, execution_id: str) -> None:
        """For what waited: the ledger has to name it.

        Raises:
            Refused: `already_used`, `invalid_token` when the ledger does not know the token, or
                `storage_unavailable`.
        """
        try:
            spent_on = await self._spent.execution_of(token_id)
        except ServerError as error:
            raise _not_recorded(error, step=9) from error
        if spent_on is None:
            raise Refused(RefusalReason.INVALID_TOKEN, "the ledger does not know this token", step=9)
        if spent_on != execution_id:
            raise already_executed(spent_on)

    async def refuse_if_over_quota(self, execution: Execution, token: VerifiedToken) -> None:
        """A look before a place is taken, like `refuse_if_known`.

        Raises:
            Refused: `quota_exceeded`, or `storage_unavailable`.
        """
        if not self._bounded(execution, token):
            return
        try:
            await self._database.read(lambda connection: self._keep_quotas(connection, execution, token))
        except _OverQuota as error:
            raise over_quota(error.excess) from error
        except ServerError as error:
            raise _not_recorded(error, step=9) from error

    async def write(self, execution: Execution, token: VerifiedToken, verdict: Verdict) -> None:
        """Steps 9 and 10 of the gate.

        Raises:
            Refused: `already_used`, `revoked`, `quota_exceeded`, `busy` when too many run in all executors,
                or `storage_unavailable` when it could not be made durable.
        """

        async def write(connection: AsyncConnection) -> None:
            await self._spend(connection, execution, token)
            await self._steps.reached(Step.SPENT_NOT_COMMITTED)
            at_a_time = self._bounds.at_a_time
            # Itself is among those that are under way by now.
            if at_a_time is not None and await self._waiting.under_way(connection) > at_a_time:
                raise _Full(f"{at_a_time} programs run already, the most of all executors together", 5.0)
            await self._append(connection, "execution.started", execution, token, verdict)
            await self._steps.reached(Step.AUDITED_NOT_COMMITTED)

        await self._durably(write)
        self._spent_one()

    async def enqueue(
        self, execution: Execution, token: VerifiedToken, verdict: Verdict, work: WaitingWork
    ) -> None:
        """Steps 9 and 10 for an execution that waits: the token is spent, and nothing has begun.

        Raises:
            Refused: as `write` does; `busy` when the queue is full.
        """

        async def write(connection: AsyncConnection) -> None:
            await self._spend(connection, execution, token)
            await self._keep_queue_bounded(connection, execution, len(work.action))
            await self._waiting.enqueue(connection, work)
            await self._append(connection, "execution.queued", execution, token, verdict)
            await self._steps.reached(Step.QUEUED_NOT_COMMITTED)

        await self._durably(write)
        self._spent_one()

    async def begin(self, execution: Execution, token: VerifiedToken, verdict: Verdict) -> None:
        """Begin what waited and was claimed by the execution's owner. After this it is run once or never.

        Raises:
            NoLongerOurs: nothing was written, and it must not run here.
            Refused: `revoked`, or `storage_unavailable`.
        """

        async def write(connection: AsyncConnection) -> None:
            if await self._revocations.is_revoked_within(connection, token.claims.token_id):
                raise revoked()
            if not await self._waiting.leave_to_begin(connection, execution.execution_id, execution.owner):
                raise NoLongerOurs(execution.execution_id)
            await self._executions.assign(connection, execution)
            await self._append(connection, "execution.started", execution, token, verdict)
            await self._steps.reached(Step.BEGUN_NOT_COMMITTED)

        await self._durably(write)

    async def _durably(self, write: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        try:
            await self._database.write(write)
        except AlreadySpent as error:
            raise already_executed(error.execution_id) from error
        except _OverQuota as error:
            raise over_quota(error.excess) from error
        except _Full as error:
            detail = f"{error.detail}; the token is unspent, try again with it in {error.retry_seconds:.0f} s"
            raise Refused(
                RefusalReason.BUSY, detail, step=9, retry_after_seconds=error.retry_seconds
            ) from error
        except ServerError as error:
            raise _not_recorded(error, step=10) from error

    async def _spend(self, connection: AsyncConnection, execution: Execution, token: VerifiedToken) -> None:
        claims = token.claims
        if await self._revocations.is_revoked_within(connection, claims.token_id):
            raise revoked()
        # First of all, so that a second use is told so whatever else stands against it.
        await self._spent.spend(
            connection, claims.token_id, execution.execution_id, spent_at=execution.created_at
        )
        await self._keep_quotas(connection, execution, token)
        await self._executions.insert(connection, execution)
        await note_approvers(connection, execution, (one.person for one in claims.approved_by))

    async def _keep_quotas(
        self, connection: AsyncConnection, execution: Execution, token: VerifiedToken
    ) -> None:
        found = await find_excess(
            connection,
            self._bounds.quotas,
            self._bounded(execution, token),
            execution.demand,
            now=execution.created_at,
        )
        if found is not None:
            raise _OverQuota(found)

    def _bounded(self, execution: Execution, token: VerifiedToken) -> list[tuple[PrincipalKind, str]]:
        """Whose quotas there are to be kept."""
        principals: list[tuple[PrincipalKind, str]] = [("agent", execution.agent)]
        for name in sorted({one.person for one in token.claims.approved_by}):
            principals.append(("person", name))
        rules = self._bounds.quotas
        return [(kind, name) for kind, name in principals if not rules.of(kind, name).bounds_nothing]

    async def _keep_queue_bounded(self, connection: AsyncConnection, execution: Execution, size: int) -> None:
        most = self._bounds.most_waiting or 0
        queue = await self._waiting.measure(connection)
        if queue.executions < most and queue.size + size <= MAX_WAITING_BYTES:
            return
        ended = await self._waiting.ended_since(connection, execution.created_at - _LATELY)
        wait = expected_wait(ended, lately_seconds=_LATELY.total_seconds())
        raise _Full(f"{queue.executions} executions wait already, as many as may ({most})", wait)

    async def _append(
        self,
        connection: AsyncConnection,
        event: str,
        execution: Execution,
        token: VerifiedToken,
        verdict: Verdict,
    ) -> None:
        claims = token.claims
        approvers: list[JsonValue] = [approver.person for approver in claims.approved_by]
        packages: list[JsonValue] = [f"{one.package} {one.layer}" for one in execution.packages]
        trace_id = current_trace_id()
        rules: list[JsonValue] = [*sorted({finding.rule.value for finding in verdict.findings})]
        warnings: list[JsonValue] = [*verdict.warnings]
        await self._audit.append(
            connection,
            event,
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
                **({"installs": [*verdict.addition.installs]} if verdict.addition is not None else {}),
                **({"trace_id": trace_id} if trace_id is not None else {}),
            },
        )


def _not_recorded(error: ServerError, *, step: int) -> Refused:
    return Refused(
        RefusalReason.STORAGE_UNAVAILABLE,
        f"nothing was run because it could not be recorded ({type(error).__name__}); "
        "try again with the same token in a few seconds",
        step=step,
    )
