"""The gate: the only way from a capability token to a program that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from executor_mcp.admissible import Admissible, where
from executor_mcp.admission import GATE_SEAL, AdmittedCall
from executor_mcp.capacity import Capacity, NoCapacity
from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.examination import Examiner
from executor_mcp.models import Execution
from executor_mcp.referenced_files import ReferencedFiles
from executor_mcp.refusals import RefusalLog
from executor_mcp.sandbox.base import PreparedRun
from executor_mcp.sandbox.errors import SandboxBusy, SandboxError, SandboxRefused
from executor_mcp.sandbox.host_limits import ADVICE, is_out_of_processes
from executor_mcp.start_record import StartRecord
from executor_mcp.steps import Step, StepObserver
from executor_mcp.storage.waiting import NOBODY, WaitingWork
from executor_mcp.token_checks import TokenChecks, check_shape, require_no_proof
from executor_mcp.tracing import Tracing
from executor_mcp.workplace import Job, Workplace
from hitl_contract.action import CodeExecution, PackageAddition, canonical_action
from hitl_contract.canonical import parse_strict_json
from hitl_contract.errors import CanonicalizationError
from hitl_contract.verify import VerifiedCapability, VerifiedToken
from server_kit.clock import Clock
from server_kit.identifiers import new_identifier


@dataclass
class _Attempt:
    """How far one call got; for the audit entry of a refusal."""

    token: VerifiedToken | None = None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """An admitted execution that waits for a place in whichever executor."""

    execution_id: str


class Gate:
    """Verifies, then spends, then lets one call through. Holds no state of its own."""

    def __init__(
        self,
        *,
        checks: TokenChecks,
        examiner: Examiner,
        files: ReferencedFiles,
        workplace: Workplace,
        capacity: Capacity,
        start_record: StartRecord,
        refusals: RefusalLog,
        clock: Clock,
        owner: str,
        steps: StepObserver,
        waited: Callable[[float], None],
        tracing: Tracing,
    ) -> None:
        self._checks = checks
        self._examiner = examiner
        self._files = files
        self._workplace = workplace
        self._capacity = capacity
        self._start_record = start_record
        self._refusals = refusals
        self._clock = clock
        self._owner = owner
        self._steps = steps
        self._waited = waited
        self._tracing = tracing

    async def admit(self, capability_token: str, action: object | None) -> AdmittedCall | Enqueued:
        """Turn a token, and the action it was given for, into the one call that it allows.

        1. The token and the action have an acceptable size and shape.
        2. The signature is Ed25519 by a key that the issuer publishes now.
        3. Type, issuer, audience and times are right.
        4. The token was not revoked: not here, and not on the issuer's list where there is one.
        5. The digest of the action, as given or as read from the issuer, is the token's.
        6. Agent, language, limits, profile, packages, network and image are within this executor's policy,
           and each file that is passed by reference is there and has the digest that was approved. What an
           addition of packages would install is exactly what it names, and nothing bad is known of any of it.
        7. Static analysis and the policy's own rules about text and imports find nothing that it blocks.
        8. Possession of the agent's key is proved when the token asks for it.
        9. The token id is spent by one durable unique insert, within the quotas of agent and approvers.
        10. The audit entry "execution.started" is durable, in the same transaction.

        Before step 4 has held nothing outside this process is asked, except for the issuer's keys and its
        list of revoked tokens, which is looked at once more before 9. A token
        known to be spent is refused after step 5, before the sandbox is asked for anything; step 9 alone
        decides between simultaneous calls. A place and a sandbox are taken between 8 and 9: what is missing
        there leaves the token unspent, and a token that has expired by then is refused.

        Where there is a queue, a call that finds no place is spent into it (9) with "execution.queued" (10)
        instead, and `admit_waiting` is its way on.

        Args:
            capability_token: the compact token.
            action: a JSON object, or None to have the approved action read from the issuer.

        Raises:
            Refused: nothing has run; the refusal is in the audit log.
        """
        attempt = _Attempt()
        try:
            with self._tracing.admission():
                return await self._admit(capability_token, action, attempt)
        except Refused as refusal:
            await self._refusals.record(refusal, attempt.token)
            raise
        except (RuntimeError, OSError) as error:
            if not is_out_of_processes(error):
                raise
            refusal = _out_of_processes()
            await self._refusals.record(refusal, attempt.token)
            raise refusal from error

    async def admit_waiting(self, work: WaitingWork) -> AdmittedCall:
        """Begin what waited and was claimed by this process, which holds a place for it.

        What the database says is not believed: steps 2 to 8 are gone through again, by this executor's
        policy. The token's times are judged as of when it was spent, and it must not be older than that
        allows. Then a sandbox is prepared, and one transaction ends the waiting and writes
        "execution.started".

        Raises:
            Refused: nothing has run; whoever claimed it gives it back or ends it.
            NoLongerOurs: it must not begin here.
        """
        token = await self._checks.verify(work.token, at=work.enqueued_at.timestamp())  # 2, 3
        self._refuse_overdue(token, work)
        await self._checks.refuse_revoked(token)  # 4
        capability = await self._checks.bind(token, work.token, await _stored_action(work))  # 5
        await self._start_record.refuse_unless_spent_on(token.claims.token_id, work.execution_id)
        admissible = await self._judge(capability)  # 6, 7, 8
        job = admissible.job(work.execution_id)
        prepared = await self._prepare(job)
        self._waited((self._clock.now() - work.enqueued_at).total_seconds())
        try:
            await self._steps.reached(Step.CLAIMED_AND_PREPARED)
            await self._checks.refuse_withdrawn(token)
            execution = admissible.execution(work.execution_id, owner=self._owner, now=self._clock.now())
            execution = replace(
                execution,
                created_at=work.enqueued_at,
                sandbox=where(execution, prepared),
            )
            await self._start_record.begin(execution, token, admissible.verdict)  # 9, 10
        except BaseException:
            await self._workplace.discard(prepared)
            raise
        return AdmittedCall(seal=GATE_SEAL, execution=execution, job=job, prepared=prepared)

    async def _admit(
        self, capability_token: str, action: object | None, attempt: _Attempt
    ) -> AdmittedCall | Enqueued:
        check_shape(capability_token, action)  # 1
        token = await self._checks.verify(capability_token, at=self._now())  # 2, 3
        attempt.token = token
        await self._steps.reached(Step.TOKEN_VERIFIED)
        await self._checks.refuse_revoked(token)  # 4
        capability = await self._checks.bind(token, capability_token, action)  # 5
        await self._start_record.refuse_if_known(token.claims.token_id)
        admissible = await self._judge(capability)  # 6, 7, 8
        await self._steps.reached(Step.ACTION_CHECKED)
        return await self._spend(admissible, capability_token)  # 9, 10

    async def _judge(self, capability: VerifiedCapability) -> Admissible:
        action = await self._files.resolve(capability.action)  # 6
        try:
            agent = capability.token.claims.subject
            verdict = await self._examiner.examine(action, agent=agent, has_token=True)
        except SandboxError as error:
            raise _sandbox_unavailable(error, step=6) from error
        if verdict.not_allowed or not isinstance(action, CodeExecution | PackageAddition):  # 6
            raise Refused(RefusalReason.NOT_ALLOWED_HERE, "; ".join(verdict.not_allowed), step=6)
        if verdict.packages_refused:  # 6
            raise Refused(RefusalReason.PACKAGE_NOT_ALLOWED, "; ".join(verdict.packages_refused), step=6)
        if verdict.packages_unavailable is not None:  # 6
            detail = f"{verdict.packages_unavailable}; the token is unspent, try again with it"
            raise Refused(RefusalReason.PACKAGES_UNAVAILABLE, detail, step=6)
        if verdict.unsafe:  # 7
            raise Refused(RefusalReason.UNSAFE_CODE, "; ".join(verdict.unsafe), step=7)
        require_no_proof(capability.token)  # 8
        return Admissible(capability, action, verdict)

    async def _spend(self, admissible: Admissible, capability_token: str) -> AdmittedCall | Enqueued:
        now = self._clock.now()
        execution = admissible.execution(new_identifier("exe"), owner=self._owner, now=now)
        await self._start_record.refuse_if_over_quota(execution, admissible.capability.token)
        has_queue = self._start_record.bounds.most_waiting is not None
        began = time.monotonic()
        if not has_queue:
            await self._take_place()
        elif not await self._capacity.take_now():
            return await self._enqueue(execution, admissible, capability_token)
        try:
            return await self._start(execution, admissible, began)
        except BaseException as error:
            self._capacity.give_back()
            busy = isinstance(error, Refused) and error.reason is RefusalReason.BUSY
            if not (has_queue and busy):
                raise
        return await self._enqueue(execution, admissible, capability_token)

    async def _take_place(self) -> None:
        try:
            await self._capacity.take()
        except NoCapacity as error:
            detail = f"every place for a program is taken and {error}; try again with the same token"
            raise Refused(RefusalReason.BUSY, detail, step=9) from error

    async def _start(self, execution: Execution, admissible: Admissible, began: float) -> AdmittedCall:
        token = admissible.capability.token
        job = admissible.job(execution.execution_id)
        prepared = await self._prepare(job)
        self._waited(time.monotonic() - began)
        try:
            await self._steps.reached(Step.SANDBOX_PREPARED)
            await self._refuse_late(token)
            execution = replace(
                execution,
                created_at=self._clock.now(),
                sandbox=where(execution, prepared),
            )
            await self._start_record.write(execution, token, admissible.verdict)
            await self._steps.reached(Step.ADMITTED)
        except BaseException:
            await self._workplace.discard(prepared)
            raise
        return AdmittedCall(seal=GATE_SEAL, execution=execution, job=job, prepared=prepared)

    async def _enqueue(self, execution: Execution, admissible: Admissible, capability_token: str) -> Enqueued:
        token, now = admissible.capability.token, self._clock.now()
        await self._refuse_late(token)
        # As it was approved, references and all: its digest is looked at once more before it begins.
        action = await asyncio.to_thread(canonical_action, admissible.capability.action)
        longest = self._start_record.bounds.longest_wait_seconds
        work = WaitingWork(
            execution_id=execution.execution_id,
            token=capability_token,
            action=action,
            enqueued_at=now,
            lapses_at=now + timedelta(seconds=longest),
        )
        waiting = replace(execution, owner=NOBODY, created_at=now)
        await self._start_record.enqueue(waiting, token, admissible.verdict, work)
        await self._steps.reached(Step.QUEUED)
        return Enqueued(execution.execution_id)

    async def _refuse_late(self, token: VerifiedToken) -> None:
        """The wait for a place and a sandbox may have outlasted the token, or changed somebody's mind."""
        self._checks.refuse_late(token, at=self._now())
        await self._checks.refuse_withdrawn(token)

    def _refuse_overdue(self, token: VerifiedToken, work: WaitingWork) -> None:
        """Bounds how late a row of the database can make an old token run, by what the token itself says."""
        longest = self._start_record.bounds.longest_wait_seconds
        late = self._now() >= token.claims.expires_at + longest + self._checks.verification.leeway_seconds
        if late or self._clock.now() >= work.lapses_at:
            raise Refused(RefusalReason.EXPIRED, "it waited longer than the queue lets anything wait", step=3)

    async def _prepare(self, job: Job) -> PreparedRun:
        try:
            return await self._workplace.prepare(job)
        except SandboxRefused as error:
            raise Refused(RefusalReason.NOT_ALLOWED_HERE, str(error), step=6) from error
        except SandboxBusy as error:
            detail = f"{error}; the token is unspent, try again with it"
            raise Refused(
                RefusalReason.BUSY, detail, step=9, retry_after_seconds=error.wait_seconds
            ) from error
        except SandboxError as error:
            raise _sandbox_unavailable(error, step=9) from error

    def _now(self) -> float:
        return self._clock.now().timestamp()


async def _stored_action(work: WaitingWork) -> object:
    try:
        return await asyncio.to_thread(parse_strict_json, work.action)
    except CanonicalizationError as error:
        raise Refused(RefusalReason.INVALID_ACTION, "what waits is not an action", step=5) from error


def _out_of_processes() -> Refused:
    detail = f"{ADVICE}; nothing was run, try again with the same token"
    return Refused(RefusalReason.SANDBOX_UNAVAILABLE, detail, step=9, retry_after_seconds=5.0)


def _sandbox_unavailable(error: SandboxError, *, step: int) -> Refused:
    detail = f"the sandbox cannot run anything now: {error}; the token is unspent, try again with it"
    return Refused(RefusalReason.SANDBOX_UNAVAILABLE, detail, step=step)
