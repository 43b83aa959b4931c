"""One tree for everything the executor refuses or fails at. Messages are safe to show to an agent."""

from __future__ import annotations

from enum import StrEnum


class ExecutorError(Exception):
    """Root of the tree."""


class RefusalReason(StrEnum):
    """Why a call was refused. The first eight are the contract's; the others are this executor's own."""

    INVALID_TOKEN = "invalid_token"  # noqa: S105
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    REVOKED = "revoked"
    ACTION_MISMATCH = "action_mismatch"
    ALREADY_USED = "already_used"
    INVALID_ACTION = "invalid_action"
    ACTION_UNAVAILABLE = "action_unavailable"
    KEYS_UNAVAILABLE = "keys_unavailable"
    REVOCATIONS_UNAVAILABLE = "revocations_unavailable"
    NOT_ALLOWED_HERE = "not_allowed_here"
    PACKAGE_NOT_ALLOWED = "package_not_allowed"
    PACKAGES_UNAVAILABLE = "packages_unavailable"
    UNSAFE_CODE = "unsafe_code"
    FILE_UNAVAILABLE = "file_unavailable"
    FILE_MISMATCH = "file_mismatch"
    PROOF_OF_POSSESSION_REQUIRED = "proof_of_possession_required"
    SANDBOX_UNAVAILABLE = "sandbox_unavailable"
    BUSY = "busy"
    QUOTA_EXCEEDED = "quota_exceeded"
    STORAGE_UNAVAILABLE = "storage_unavailable"


RETRYABLE = frozenset(
    {
        RefusalReason.NOT_YET_VALID,
        RefusalReason.ACTION_UNAVAILABLE,
        RefusalReason.KEYS_UNAVAILABLE,
        RefusalReason.REVOCATIONS_UNAVAILABLE,
        RefusalReason.PACKAGES_UNAVAILABLE,
        RefusalReason.SANDBOX_UNAVAILABLE,
        RefusalReason.BUSY,
        RefusalReason.QUOTA_EXCEEDED,
        RefusalReason.STORAGE_UNAVAILABLE,
    }
)
"""Refusals after which the same token may be presented again: nothing ran and the cause may pass.

It is unspent, but for `storage_unavailable` when the answer to the very commit was lost.
"""


class Refused(ExecutorError):
    """The gate let nothing through: nothing ran, and the token is as spent or unspent as it was before.

    `step` is the number of the step of `gate.admit` that refused. `execution_id` is set for `already_used`
    alone. `retry_after_seconds`, where it is known, is when another try may succeed.
    """

    def __init__(
        self,
        reason: RefusalReason,
        detail: str,
        *,
        step: int,
        execution_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.step = step
        self.execution_id = execution_id
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{reason}: {detail}")

    @property
    def retryable(self) -> bool:
        if self.reason is RefusalReason.QUOTA_EXCEEDED:
            # Without a time it is more than the whole quota, which no waiting changes.
            return self.retry_after_seconds is not None
        return self.reason in RETRYABLE


class ExecutionNotFound(ExecutorError):
    """No execution has this id, or it is not an execution id at all."""


class TooManyReaders(ExecutorError):
    """More readers follow executions than this executor serves at a time."""


class OutputFileNotFound(ExecutorError):
    """The execution left no file of this path."""


class CredentialRequired(ExecutorError):
    """An executor API key is needed and was not given, or is not known here."""


class InvalidArgument(ExecutorError):
    """An argument is outside what is allowed; the message names it and the bounds."""


class KeySourceUnavailable(ExecutorError):
    """The issuer's public keys cannot be read now."""


class RevocationsUnavailable(ExecutorError):
    """The issuer's list of withdrawn tokens cannot be read now."""


class ActionSourceUnavailable(ExecutorError):
    """The approved action cannot be read from its issuer now."""


class ReceiptInvalid(ExecutorError):
    """A receipt that no published key of the executor stands behind, or that is malformed."""
