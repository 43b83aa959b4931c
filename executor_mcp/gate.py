"""The gate: the only way from a capability token to a program that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from executor_mcp.admission import GATE_SEAL, AdmittedCall
from executor_mcp.capacity import Capacity, NoCapacity
from executor_mcp.errors import (
    ActionSourceUnavailable,
    KeySourceUnavailable,
    RefusalReason,
    Refused,
    RevocationsUnavailable,
)
from executor_mcp.examination import Examiner, Verdict
from executor_mcp.issuer_actions import ActionSource
from executor_mcp.issuer_keys import IssuerKeys, named_key
from executor_mcp.jobs import job_of
from executor_mcp.models import Execution, ExecutionStatus, SandboxIdentity, UsedPackage
from executor_mcp.referenced_files import ReferencedFiles
from executor_mcp.refusals import RefusalLog, from_contract, revoked
from executor_mcp.revocation_list import IssuerRevocations
from executor_mcp.revoked_tokens import RevokedTokens
from executor_mcp.sandbox.base import PreparedRun, Sandbox, SandboxJob
from executor_mcp.sandbox.errors import SandboxBusy, SandboxError, SandboxRefused
from executor_mcp.start_record import StartRecord
from executor_mcp.steps import Step, StepObserver
from executor_mcp.tracing import Tracing
from hitl_contract.action import Action, CodeExecution, parse_action
from hitl_contract.capability import MAX_TOKEN_BYTES
from hitl_contract.errors import InvalidAction, TokenRefused
from hitl_contract.verify import (
    VerificationPolicy,
    VerifiedCapability,
    VerifiedToken,
    bind_action,
    check_times,
    verify_token,
)
from server_kit.clock import Clock
from server_kit.errors import ServerError
from server_kit.identifiers import new_identifier


@dataclass
class _Attempt:
    """How far one call got; for the audit entry of a refusal."""

    token: VerifiedToken | None = None


@dataclass(frozen=True)
class GateRules:
    """What the gate holds a call against: whom it trusts and what was withdrawn."""

    verification: VerificationPolicy
    keys: IssuerKeys
    revocations: RevokedTokens
    issuer_revocations: IssuerRevocations
    actions: ActionSource


class Gate:
    """Verifies, then spends, then lets one call through. Holds no state of its own."""

    def __init__(
        self,
        *,
        rules: GateRules,
        examiner: Examiner,
        files: ReferencedFiles,
        sandbox: Sandbox,
        capacity: Capacity,
        start_record: StartRecord,
        refusals: RefusalLog,
        clock: Clock,
        owner: str,
        steps: StepObserver,
        waited: Callable[[float], None],
        tracing: Tracing,
    ) -> None:
        self._rules = rules
        self._examiner = examiner
        self._files = files
        self._sandbox = sandbox
        self._capacity = capacity
        self._start_record = start_record
        self._refusals = refusals
        self._clock = clock
        self._owner = owner
        self._steps = steps
        self._waited = waited
        self._tracing = tracing

    async def admit(self, capability_token: str, action: object | None) -> AdmittedCall:
        """Turn a token, and the action it was given for, into the one call that it allows.

        1. The token and the action have an acceptable size and shape.
        2. The signature is Ed25519 by a key that the issuer publishes now.
        3. Type, issuer, audience and times are right.
        4. The token was not revoked: not here, and not on the issuer's list where there is one.
        5. The digest of the action, as given or as read from the issuer, is the token's.
        6. Agent, language, limits, profile, packages, network and image are within this executor's policy,
           and each file that is passed by reference is there and has the digest that was approved.
        7. Static analysis and the policy's own rules about text and imports find nothing that it blocks.
        8. Possession of the agent's key is proved when the token asks for it.
        9. The token id is spent by one durable unique insert.
        10. The audit entry "execution.started" is durable, in the same transaction.

        Before step 4 has held nothing outside this process is asked, except for the issuer's keys and its
        list of revoked tokens, which is looked at once more before 9. A token
        known to be spent is refused after step 5, before the sandbox is asked for anything; step 9 alone
        decides between simultaneous calls. A place and a sandbox are taken between 8 and 9: what is missing
        there leaves the token unspent, and a token that has expired by then is refused.

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

    async def _admit(self, capability_token: str, action: object | None, attempt: _Attempt) -> AdmittedCall:
        _check_shape(capability_token, action)  # 1
        token = await self._verify(capability_token)  # 2, 3
        attempt.token = token
        await self._steps.reached(Step.TOKEN_VERIFIED)
        await self._refuse_revoked(token)  # 4
        capability = await self._bind(token, capability_token, action)  # 5
        await self._start_record.refuse_if_known(token.claims.token_id)
        action = await self._files.resolve(capability.action)  # 6
        program, verdict = await self._examine(token, action)  # 6, 7
        _require_no_proof(token)  # 8
        await self._steps.reached(Step.ACTION_CHECKED)
        return await self._spend(capability, program, verdict)  # 9, 10

    async def _verify(self, capability_token: str) -> VerifiedToken:
        try:
            keys = await self._rules.keys.keys(named_key(capability_token))
        except KeySourceUnavailable as error:
            raise Refused(RefusalReason.KEYS_UNAVAILABLE, str(error), step=2) from error
        now = self._clock.now().timestamp()
        try:
            return verify_token(capability_token, keys=keys, policy=self._rules.verification, now=now)
        except TokenRefused as error:
            raise from_contract(error) from error

    async def _refuse_revoked(self, token: VerifiedToken) -> None:
        try:
            withdrawn = await self._rules.revocations.is_revoked(token.claims.token_id)
        except ServerError as error:
            raise Refused(
                RefusalReason.STORAGE_UNAVAILABLE,
                "whether the token was revoked cannot be read now; try again in a few seconds",
                step=4,
            ) from error
        if withdrawn:
            raise revoked()
        await self._refuse_withdrawn(token)

    async def _refuse_withdrawn(self, token: VerifiedToken) -> None:
        try:
            withdrawn = await self._rules.issuer_revocations.is_revoked(token.claims.token_id)
        except RevocationsUnavailable as error:
            raise Refused(RefusalReason.REVOCATIONS_UNAVAILABLE, str(error), step=4) from error
        if withdrawn:
            raise revoked()

    async def _bind(
        self, token: VerifiedToken, capability_token: str, action: object | None
    ) -> VerifiedCapability:
        try:
            if action is None:
                parsed = await self._rules.actions.action(token.claims.action_digest, token=capability_token)
            else:
                # Canonical bytes of a large action take long enough to be felt by every other caller.
                parsed = await asyncio.to_thread(parse_action, action)
            return await asyncio.to_thread(bind_action, token, parsed)
        except ActionSourceUnavailable as error:
            raise Refused(RefusalReason.ACTION_UNAVAILABLE, str(error), step=5) from error
        except InvalidAction as error:
            raise Refused(RefusalReason.INVALID_ACTION, str(error), step=5) from error
        except TokenRefused as error:
            raise from_contract(error) from error

    async def _examine(self, token: VerifiedToken, action: Action) -> tuple[CodeExecution, Verdict]:
        try:
            verdict = await self._examiner.examine(action, agent=token.claims.subject)
        except SandboxError as error:
            raise _sandbox_unavailable(error, step=6) from error
        if verdict.not_allowed or not isinstance(action, CodeExecution):  # 6
            raise Refused(RefusalReason.NOT_ALLOWED_HERE, "; ".join(verdict.not_allowed), step=6)
        if verdict.packages_refused:  # 6
            raise Refused(RefusalReason.PACKAGE_NOT_ALLOWED, "; ".join(verdict.packages_refused), step=6)
        if verdict.unsafe:  # 7
            raise Refused(RefusalReason.UNSAFE_CODE, "; ".join(verdict.unsafe), step=7)
        return action, verdict

    async def _spend(
        self,
        capability: VerifiedCapability,
        program: CodeExecution,
        verdict: Verdict,
    ) -> AdmittedCall:
        began = time.monotonic()
        try:
            await self._capacity.take()
        except NoCapacity as error:
            detail = f"every place for a program is taken and {error}; try again with the same token"
            raise Refused(RefusalReason.BUSY, detail, step=9) from error
        try:
            job = job_of(new_identifier("exe"), program, verdict.layers)
            prepared = await self._prepare(job)
            self._waited(time.monotonic() - began)
            try:
                await self._steps.reached(Step.SANDBOX_PREPARED)
                self._refuse_late(capability.token)
                # The wait for a place may have been long enough for somebody to change their mind.
                await self._refuse_withdrawn(capability.token)
                execution = self._execution(capability, program, verdict, prepared)
                await self._start_record.write(execution, capability.token, verdict)
                await self._steps.reached(Step.ADMITTED)
            except BaseException:
                await self._sandbox.discard(prepared)
                raise
            return AdmittedCall(seal=GATE_SEAL, execution=execution, job=job, prepared=prepared)
        except BaseException:
            self._capacity.give_back()
            raise

    def _refuse_late(self, token: VerifiedToken) -> None:
        """The wait for a place and a sandbox may have outlasted the token."""
        try:
            check_times(token, policy=self._rules.verification, now=self._clock.now().timestamp())
        except TokenRefused as error:
            raise from_contract(error) from error

    async def _prepare(self, job: SandboxJob) -> PreparedRun:
        try:
            return await self._sandbox.prepare(job)
        except SandboxRefused as error:
            raise Refused(RefusalReason.NOT_ALLOWED_HERE, str(error), step=6) from error
        except SandboxBusy as error:
            detail = f"{error}; the token is unspent, try again with it"
            raise Refused(RefusalReason.BUSY, detail, step=9) from error
        except SandboxError as error:
            raise _sandbox_unavailable(error, step=9) from error

    def _execution(
        self,
        capability: VerifiedCapability,
        program: CodeExecution,
        verdict: Verdict,
        prepared: PreparedRun,
    ) -> Execution:
        claims, sandbox = capability.token.claims, verdict.sandbox
        return Execution(
            execution_id=prepared.execution_id,
            token_id=claims.token_id,
            request_id=claims.request_id,
            agent=claims.subject,
            action_digest=capability.action_digest,
            language=program.language.value,
            owner=self._owner,
            # The image of this very sandbox: since it was described its name may have come to mean another.
            sandbox=SandboxIdentity(sandbox.backend, sandbox.runtime, prepared.image_digest),
            status=ExecutionStatus.PENDING,
            created_at=self._clock.now(),
            started_at=None,
            finished_at=None,
            outcome=None,
            receipt=None,
            cancel_requested=False,
            warnings=verdict.warnings,
            packages=tuple(UsedPackage(layer.package, layer.digest) for layer in verdict.layers),
        )


def _check_shape(capability_token: str, action: object | None) -> None:
    if not 0 < len(capability_token) <= MAX_TOKEN_BYTES or not capability_token.isascii():
        detail = (
            f"capability_token must be 1 to {MAX_TOKEN_BYTES} ASCII characters, as request_approval "
            "returned it"
        )
        raise Refused(RefusalReason.INVALID_TOKEN, detail, step=1)
    if action is not None and (
        not isinstance(action, Mapping)
        or not isinstance(cast("Mapping[str, object]", action).get("type"), str)
    ):
        detail = "action must be an object with a type, exactly as it was approved; or leave it out"
        raise Refused(RefusalReason.INVALID_ACTION, detail, step=1)


def _require_no_proof(token: VerifiedToken) -> None:
    if token.claims.key_thumbprint is not None:
        detail = (
            "the token is bound to the agent's key (cnf.jkt) and this executor cannot check a proof of "
            "possession; "
            "ask for a token that is not bound to a key"
        )
        raise Refused(RefusalReason.PROOF_OF_POSSESSION_REQUIRED, detail, step=8)


def _sandbox_unavailable(error: SandboxError, *, step: int) -> Refused:
    detail = f"the sandbox cannot run anything now: {error}; the token is unspent, try again with it"
    return Refused(RefusalReason.SANDBOX_UNAVAILABLE, detail, step=step)
