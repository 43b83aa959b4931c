"""Errors as RFC 9457 problem documents: which refusal has which status, and what it may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue
from starlette.responses import Response

from hitl_contract.errors import TokenRefused
from hitl_mcp.approvals.errors import (
    ActionNotFound,
    AlreadyDecided,
    AlreadyEnded,
    AlreadySpent,
    ApprovalError,
    ApprovalExpired,
    DigestChanged,
    EditRefused,
    IdempotencyKeyReused,
    InvalidAnswer,
    InvalidCursor,
    InvalidSubmission,
    NoOpenQuestion,
    NotApproved,
    NotEligible,
    NotYourTurn,
    RequestNotFound,
    ReviewTooShort,
    Revoked,
    SealBroken,
    TooManyQuestions,
    WrongKind,
)
from hitl_mcp.errors import (
    CredentialRefused,
    HitlError,
    IdentityRefused,
    NameRefused,
    SignInRefused,
    TooManyAttempts,
    UnknownDelegation,
)
from hitl_mcp.grants.errors import GrantNotAllowed, GrantRefused, UnknownGrant
from hitl_mcp.interface.arguments import InvalidArguments
from hitl_mcp.shapes.errors import ShapeRefused
from server_kit.errors import ServerError
from server_kit.problems import FieldError, ProblemDetail

RETRY_AFTER_SECONDS: Final = 2

# In the order of the error tree: a subclass before its base.
_STATUS_OF: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (InvalidArguments, 422, "invalid_arguments"),
    (RequestNotFound, 404, "request_not_found"),
    (ActionNotFound, 404, "action_not_found"),
    (InvalidSubmission, 422, "invalid_arguments"),
    (InvalidAnswer, 422, "invalid_answer"),
    (InvalidCursor, 422, "invalid_cursor"),
    (AlreadyEnded, 409, "already_ended"),
    (AlreadyDecided, 409, "already_decided"),
    (AlreadySpent, 409, "already_spent"),
    (DigestChanged, 409, "digest_changed"),
    (IdempotencyKeyReused, 409, "idempotency_key_reused"),
    (NotApproved, 409, "not_approved"),
    (WrongKind, 409, "wrong_kind"),
    (TooManyQuestions, 409, "too_many_questions"),
    (NoOpenQuestion, 409, "no_open_question"),
    (EditRefused, 409, "edit_refused"),
    (NotYourTurn, 403, "not_your_turn"),
    (ReviewTooShort, 403, "review_too_short"),
    (NotEligible, 403, "not_eligible"),
    (Revoked, 410, "revoked"),
    (ApprovalExpired, 410, "approval_expired"),
    (SealBroken, 500, "seal_broken"),
    (ApprovalError, 409, "refused"),
    (IdentityRefused, 422, "invalid_arguments"),
    (NameRefused, 422, "invalid_arguments"),
    (UnknownDelegation, 404, "delegation_not_found"),
    (UnknownGrant, 404, "grant_not_found"),
    (GrantNotAllowed, 403, "grant_not_allowed"),
    (GrantRefused, 422, "invalid_arguments"),
    (ShapeRefused, 422, "invalid_arguments"),
    (SignInRefused, 401, "sign_in_refused"),
    (TooManyAttempts, 429, "too_many_attempts"),
    (CredentialRefused, 403, "credential_refused"),
    (TokenRefused, 401, "token_refused"),
    (HitlError, 409, "refused"),
    (ServerError, 503, "unavailable"),
)


def problem(status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """A problem document. `code` is for programs, `detail` for whoever reads it."""
    return ProblemDetail(status, code, detail, headers=headers).response()


def problem_of(error: Exception) -> Response:
    """The problem document of an error of this project."""
    if isinstance(error, ProblemDetail):
        return error.response()
    for kind, status, code in _STATUS_OF:
        if isinstance(error, kind):
            return ProblemDetail(
                status, code, str(error), errors=_fields(error), headers=_headers(error), **_members(error)
            ).response()
    raise error


def code_of(error: Exception) -> str:
    """The code that the problem document of this error would carry."""
    return next((code for kind, _, code in _STATUS_OF if isinstance(error, kind)), "refused")


def _headers(error: Exception) -> dict[str, str] | None:
    if isinstance(error, TooManyAttempts):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, ReviewTooShort):
        return {"Retry-After": str(error.seconds_left)}
    if isinstance(error, ServerError):
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if isinstance(error, SignInRefused | TokenRefused):
        return {"WWW-Authenticate": "Bearer"}
    return None


def _fields(error: Exception) -> tuple[FieldError, ...]:
    if isinstance(error, InvalidArguments | InvalidAnswer):
        return tuple(FieldError(each.field, each.message) for each in error.problems)
    if isinstance(error, IdentityRefused | GrantRefused | ShapeRefused):
        return (FieldError(error.field, error.reason),)
    if isinstance(error, InvalidSubmission):
        return (FieldError(error.field, str(error)),)
    return ()


def _members(error: Exception) -> dict[str, JsonValue]:
    if isinstance(error, AlreadyEnded):
        request = error.record.request
        return {"request_id": request.request_id, "request_status": request.status.value}
    return {}
