"""/api/v1/audit: the audit log, for administrators and for auditors, who decide nothing."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter
from pydantic import AwareDatetime, BeforeValidator, Field, JsonValue, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from hitl_contract.audit_chain import entry_to_json
from hitl_contract.audit_verification import report_to_json
from hitl_mcp.interface.answers import AnswerModel
from hitl_mcp.interface.arguments import Arguments, Text
from hitl_mcp.web.bodies import query_arguments, query_schema
from hitl_mcp.web.parts import WebParts, require_auditor
from server_kit.audit_records import AuditQuery, audit_time

_NOTHING_READ: Final = "Nothing was read, because:"
_NO_STORE: Final = {"Cache-Control": "no-store"}
_NOT_A_TIME: Final = "must be a time with its zone, such as 2026-11-21T09:30:00Z"


def _moment(value: object) -> object:
    # pydantic would also take a bare number for a time.
    if not isinstance(value, str) or "T" not in value.upper():
        raise ValueError(_NOT_A_TIME)
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if _has_zone(value) else value
    except (ValueError, OverflowError):
        raise ValueError(_NOT_A_TIME) from None


def _has_zone(value: str) -> bool:
    return datetime.fromisoformat(value).tzinfo is not None


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_moment)]
Name = Annotated[Text, Field(min_length=1, max_length=300)]


class AuditArguments(Arguments):
    """Query of `audit`. All filters that are given must hold."""

    event: Annotated[
        Text | None,
        Field(
            pattern=r"^[a-z][a-z0-9_.]{0,99}\*?$",
            description="Name of the event; request.* finds all that begin so",
        ),
    ] = None
    actor: Annotated[Name | None, Field(description="Who did it, such as person:ada")] = None
    subject: Annotated[Name | None, Field(description="What it is about, such as a request's id")] = None
    since: Annotated[Moment | None, Field(alias="from", description="Not before this time")] = None
    until: Annotated[Moment | None, Field(alias="to", description="Before this time")] = None
    text: Annotated[
        Text | None,
        Field(min_length=1, max_length=200, description="Somewhere in the details, whatever its case"),
    ] = None
    after: Annotated[int, Field(ge=0, le=999_999_999, description="`next_after` of the page before")] = 0
    limit: Annotated[int, Field(ge=1, le=1000, description="Most entries to return")] = 500

    @model_validator(mode="after")
    def _from_is_before_to(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("from must be earlier than to")
        return self

    def query(self) -> AuditQuery:
        since, until = (None if each is None else audit_time(each) for each in (self.since, self.until))
        return AuditQuery(self.event, self.actor, self.subject, since, until, self.text)


class AuditEntryAnswer(AnswerModel):
    """One act, in the form that `hitl audit verify` checks."""

    chain: str
    sequence: int
    at: str
    event: str
    actor: str
    subject: str
    details: dict[str, JsonValue]
    previous_hash: str
    entry_hash: str


class AuditPage(AnswerModel):
    """Entries of the audit log, oldest first. Those of archived segments are in their files."""

    entries: tuple[AuditEntryAnswer, ...]
    next_after: Annotated[int | None, Field(description="Give this as `after` for the next page")]


class AuditProblem(AnswerModel):
    """One thing that is wrong, at the entry where it shows."""

    kind: str
    sequence: int
    message: str


class AuditVerification(AnswerModel):
    """What a verification of the whole log found, and the public keys to verify an export with elsewhere."""

    intact: bool
    entries: int
    segments: int
    checkpoints: int
    head_sequence: int
    head_hash: str
    unsigned_tail: Annotated[int, Field(description="Entries that are not signed yet")]
    problems: tuple[AuditProblem, ...]
    keys: Annotated[tuple[dict[str, str], ...], Field(description="JSON Web Keys (RFC 7517, RFC 8037)")]


def audit_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

    @router.get("", response_model=AuditPage, openapi_extra=query_schema(AuditArguments))
    async def show(request: Request) -> Response:
        """Entries of the log that the filters ask for, oldest first, page by page."""
        require_auditor(request)
        asked = query_arguments(request, AuditArguments, consequence=_NOTHING_READ)
        entries = await parts.audit.search(asked.query(), after=asked.after, limit=asked.limit)
        return JSONResponse(
            {
                "entries": [entry_to_json(entry) for entry in entries],
                "next_after": entries[-1].sequence if len(entries) == asked.limit else None,
            },
            headers=_NO_STORE,
        )

    @router.get("/export", response_class=Response, responses=_EXPORT)
    async def export(request: Request) -> Response:
        """The whole log as JSON Lines, which `hitl audit verify --file` checks anywhere."""
        require_auditor(request)
        # What was not signed yet is signed first, so that the export vouches for its own end.
        await parts.audit.checkpoint()
        return StreamingResponse(parts.audit.lines(), media_type="application/jsonl", headers=_NO_STORE)

    @router.get("/verification", response_model=AuditVerification)
    async def verify(request: Request) -> Response:
        """Check every entry, signature and archived segment, and compare with the witness."""
        require_auditor(request)
        keys = parts.audit.public_keys
        report = await parts.audit.verify(keys)
        answer = AuditVerification.model_validate({**report_to_json(report), "keys": keys.to_jwks()["keys"]})
        return JSONResponse(answer.model_dump(mode="json"), headers=_NO_STORE)

    return router


_EXPORT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}
}
