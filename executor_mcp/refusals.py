"""What an agent is told when a call is refused, and the audit entry that every refusal leaves."""

from __future__ import annotations

import math
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.measurements import Measurements
from executor_mcp.quotas import Excess
from hitl_contract.errors import RefusalCode, TokenRefused
from hitl_contract.verify import VerifiedToken
from server_kit.audit_log import AuditLog
from server_kit.database.base import Database
from server_kit.errors import ServerError

_STEPS: Final = {
    RefusalCode.INVALID_TOKEN: 2,
    RefusalCode.WRONG_ISSUER: 3,
    RefusalCode.WRONG_AUDIENCE: 3,
    RefusalCode.EXPIRED: 3,
    RefusalCode.NOT_YET_VALID: 3,
    RefusalCode.REVOKED: 4,
    RefusalCode.ACTION_MISMATCH: 5,
    RefusalCode.ALREADY_USED: 9,
}
_UNKNOWN_CALLER: Final = "unknown"


def from_contract(refusal: TokenRefused) -> Refused:
    """The contract's refusal, with the number of the gate's step that it belongs to."""
    return Refused(RefusalReason(refusal.code.value), refusal.detail, step=_STEPS[refusal.code])


def already_executed(execution_id: str) -> Refused:
    """A second use: says so and names the first run, so that an answer lost on the way can still be read."""
    return Refused(
        RefusalReason.ALREADY_USED,
        f"this approval was already executed as {execution_id}, and an approval runs once; "
        f"read its result with get_execution, or request a new approval to run it again",
        step=9,
        execution_id=execution_id,
    )


def over_quota(excess: Excess) -> Refused:
    """More than an agent may run, or a person may have run, for now."""
    again = "" if excess.retry_seconds is None else f"; come back in {math.ceil(excess.retry_seconds)} s"
    return Refused(
        RefusalReason.QUOTA_EXCEEDED,
        f"{excess.text}{again}. The token is unspent; when it has expired by then, check_status gives it "
        "anew",
        step=9,
        retry_after_seconds=excess.retry_seconds,
    )


def revoked() -> Refused:
    """A token that was withdrawn before it was spent."""
    return Refused(
        RefusalReason.REVOKED, "the token was revoked before it was used; request a new approval", step=4
    )


class RefusalLog:
    """Writes "execution.refused". A refusal stands even when it cannot be written down: nothing happened."""

    def __init__(self, *, database: Database, audit: AuditLog, measurements: Measurements) -> None:
        self._database = database
        self._audit = audit
        self._measurements = measurements
        self._log = structlog.get_logger("executor.gate")

    async def record(self, refusal: Refused, token: VerifiedToken | None) -> None:
        """`token` is None unless its signature held: what an unsigned token claims is not worth writing."""
        actor = _UNKNOWN_CALLER if token is None else token.claims.subject
        subject = _UNKNOWN_CALLER if token is None else token.claims.token_id
        details: dict[str, str | int] = {"reason": refusal.reason.value, "step": refusal.step}
        if token is not None:
            details["request_id"] = token.claims.request_id
            details["action_digest"] = token.claims.action_digest
        if refusal.execution_id is not None:
            details["execution_id"] = refusal.execution_id

        async def write(connection: AsyncConnection) -> None:
            await self._audit.append(
                connection, "execution.refused", actor=actor, subject=subject, details=details
            )

        self._measurements.refused(refusal.reason.value)
        self._log.info("refused", reason=refusal.reason.value, step=refusal.step, subject=subject)
        try:
            await self._database.write(write)
        except ServerError as error:
            self._log.warning("refusal_not_audited", reason=refusal.reason.value, problem=str(error))
