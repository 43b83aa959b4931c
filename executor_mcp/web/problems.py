"""The executor's errors as problem documents (RFC 9457)."""

from __future__ import annotations

import math
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from executor_mcp.errors import (
    CredentialRequired,
    ExecutionNotFound,
    InvalidArgument,
    OutputFileNotFound,
    RefusalReason,
    Refused,
    TooManyReaders,
)
from executor_mcp.sandbox.errors import SandboxError
from hitl_contract.errors import InvalidAction
from server_kit.problems import RETRY_AFTER_SECONDS, FieldError, ProblemDetail, install_problem_handlers

_STATUS: Final = {
    RefusalReason.INVALID_TOKEN: 401,
    RefusalReason.EXPIRED: 401,
    RefusalReason.NOT_YET_VALID: 401,
    RefusalReason.WRONG_ISSUER: 401,
    RefusalReason.WRONG_AUDIENCE: 401,
    RefusalReason.PROOF_OF_POSSESSION_REQUIRED: 401,
    RefusalReason.REVOKED: 403,
    RefusalReason.ACTION_MISMATCH: 403,
    RefusalReason.NOT_ALLOWED_HERE: 403,
    RefusalReason.PACKAGE_NOT_ALLOWED: 403,
    RefusalReason.ALREADY_USED: 409,
    RefusalReason.INVALID_ACTION: 422,
    RefusalReason.UNSAFE_CODE: 422,
    RefusalReason.FILE_UNAVAILABLE: 422,
    RefusalReason.FILE_MISMATCH: 409,
    RefusalReason.QUOTA_EXCEEDED: 429,
}
_UNAVAILABLE = 503
_RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}


def install(application: FastAPI) -> None:
    """Answer every error with a problem document."""
    install_problem_handlers(application)
    application.add_exception_handler(Refused, _refused)
    application.add_exception_handler(InvalidAction, _invalid_action)
    application.add_exception_handler(ExecutionNotFound, _not_found)
    application.add_exception_handler(OutputFileNotFound, _not_found)
    application.add_exception_handler(InvalidArgument, _invalid_argument)
    application.add_exception_handler(CredentialRequired, _credential)
    application.add_exception_handler(SandboxError, _sandbox)
    application.add_exception_handler(TooManyReaders, _too_many_readers)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    status = _STATUS.get(error.reason, _UNAVAILABLE)
    extra: dict[str, Any] = {} if error.execution_id is None else {"execution_id": error.execution_id}
    headers = _RETRY if status == _UNAVAILABLE else {}
    if error.retry_after_seconds is not None:
        headers = {"Retry-After": str(math.ceil(error.retry_after_seconds))}
    return ProblemDetail(status, error.reason.value, error.detail, headers=headers, **extra).response()


async def _invalid_action(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidAction)
    fields = [FieldError(problem.field, problem.message) for problem in error.problems]
    return ProblemDetail(
        422, "invalid_action", "the action is not valid; see errors", errors=fields
    ).response()


async def _not_found(_request: Request, error: Exception) -> Response:
    code = "execution_not_found" if isinstance(error, ExecutionNotFound) else "file_not_found"
    return ProblemDetail(404, code, str(error)).response()


async def _invalid_argument(_request: Request, error: Exception) -> Response:
    return ProblemDetail(422, "invalid_request", str(error)).response()


async def _credential(_request: Request, error: Exception) -> Response:
    headers = {"WWW-Authenticate": "Bearer"}
    return ProblemDetail(401, "api_key_required", str(error), headers=headers).response()


async def _too_many_readers(_request: Request, error: Exception) -> Response:
    return ProblemDetail(_UNAVAILABLE, "too_many_readers", str(error), headers=_RETRY).response()


async def _sandbox(_request: Request, error: Exception) -> Response:
    detail = f"the sandbox does not answer: {error}"
    return ProblemDetail(_UNAVAILABLE, "sandbox_unavailable", detail, headers=_RETRY).response()
