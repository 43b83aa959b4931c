"""Errors over HTTP as problem documents (RFC 9457): always a status, a title and what to do, never a
traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import JsonValue
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from server_kit.errors import AuditUnavailable, DatabaseUnavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a request."""

    field: str
    message: str


class ProblemDetail(Exception):
    """Raised anywhere below a route to answer with a problem document.

    `code` is for programs (`request_not_found`), `detail` for people: what was wrong and what to do next.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: JsonValue,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = extra

    def document(self) -> dict[str, JsonValue]:
        """Return the members of RFC 9457, section 3.1, and ours: `code`, and `errors` by field."""
        document: dict[str, JsonValue] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            document["errors"] = [{"field": error.field, "message": error.message} for error in self.errors]
        return document | self.extra

    def response(self) -> Response:
        """Return the document as a response, for code outside of the handlers, such as middleware."""
        return JSONResponse(self.document(), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def install_problem_handlers(application: FastAPI) -> None:
    """Answer every error of `application` with a problem document."""
    application.add_exception_handler(ProblemDetail, _problem)
    application.add_exception_handler(RequestValidationError, _invalid)
    application.add_exception_handler(HTTPException, _http)
    application.add_exception_handler(DatabaseUnavailable, _unavailable)
    application.add_exception_handler(AuditUnavailable, _unavailable)
    application.add_exception_handler(Exception, _unexpected)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemDetail)
    return error.response()


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        FieldError(".".join(str(part) for part in item["loc"]) or "body", str(item["msg"]))
        for item in error.errors()
    ]
    named = ", ".join(problem.field for problem in problems[:5])
    detail = f"the request is not valid; see 'errors' for each field: {named}"
    return ProblemDetail(422, "invalid_request", detail, errors=problems[:50]).response()


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    try:
        code = HTTPStatus(error.status_code).name.lower()
    except ValueError:
        code = "error"
    return ProblemDetail(error.status_code, code, str(error.detail), headers=error.headers).response()


async def _unavailable(_request: Request, error: Exception) -> Response:
    _logger.error("storage_unavailable", reason=str(error))
    detail = "the server cannot store anything at the moment, so nothing was done; try again shortly"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return ProblemDetail(503, "storage_unavailable", detail, headers=headers).response()


async def _unexpected(request: Request, error: Exception) -> Response:
    _logger.error("unexpected_error", path=request.url.path, exc_info=error)
    detail = "the server failed unexpectedly; the log of the server says why"
    return ProblemDetail(500, "internal_error", detail).response()
