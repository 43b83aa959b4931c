"""What an agent may pass, field by field: strict types, bounded sizes, no unknown names."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
import json
from typing import Annotated, Self, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from hitl_contract.action import Action, parse_action, parse_action_json
from hitl_contract.canonical import canonical_json
from hitl_contract.errors import CanonicalizationError, FieldProblem, InvalidAction
from hitl_mcp.approvals.models import (
    DEFAULT_TIMEOUT_SECONDS,
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    RequestStatus,
    RiskLevel,
    Submission,
)
from hitl_mcp.interface.explaining import problems_of, sentence

MAX_WAIT_SECONDS = 3600
MAX_METADATA_BYTES = 16 * 1024
DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100


class InvalidArguments(Exception):
    """Arguments nobody can act on; the message names each field, what was given and what is allowed."""

    def __init__(self, problems: tuple[FieldProblem, ...], *, consequence: str) -> None:
        super().__init__(sentence(problems, consequence=consequence))
        self.problems = problems


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must not contain half of a surrogate pair, which is no character")
    return value


def not_blank(value: str) -> str:
    """The value, when there is more to it than white space."""
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _not_blank_if_given(value: str | None) -> str | None:
    return value if value is None else not_blank(value)


def _small_json(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        size = len(canonical_json(value))
    except CanonicalizationError as error:
        raise ValueError(f"must be plain JSON: {error}") from error
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"is {size} bytes in all; at most {MAX_METADATA_BYTES} are allowed")
    if "\\u0000" in json.dumps(value):
        raise ValueError("must not contain a NUL character")
    return value


Text = Annotated[str, AfterValidator(_storable)]
RequestId = Annotated[
    Text, Field(min_length=1, max_length=100, description="The request_id that request_approval returned")
]
WaitSeconds = Annotated[
    int | None,
    Field(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="How long to wait for the decision before answering, in seconds. A call without a "
        "progress token is held for 45 seconds at most, whatever is asked for",
    ),
]
Reason = Annotated[Text, Field(max_length=2000)]


class Arguments(BaseModel):
    """Base of all arguments: no coercion, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RequestApprovalArguments(Arguments):
    """Arguments of `request_approval`. `action` is checked by the contract, not here."""

    action: Annotated[object, Field(description="What shall be done, completely")]
    justification: Annotated[
        Text,
        Field(min_length=1, max_length=4000, description="Why it should be done, for the person who decides"),
        AfterValidator(not_blank),
    ]
    summary: Annotated[Text | None, Field(max_length=300, description="One line for lists of requests")] = (
        None
    )
    risk_level: Annotated[
        RiskLevel | None,
        Field(strict=False, description="How much harm it could do, as you see it; rules may raise it"),
    ] = None
    timeout_seconds: Annotated[
        int | None,
        Field(
            ge=MIN_TIMEOUT_SECONDS,
            le=MAX_TIMEOUT_SECONDS,
            description=f"How long people may take before it ends undecided; {DEFAULT_TIMEOUT_SECONDS} when "
            "left out",
        ),
    ] = None
    wait_seconds: WaitSeconds = None
    idempotency_key: Annotated[
        Text | None,
        Field(
            min_length=1,
            max_length=255,
            description="Any string of yours. Asking again with the same one returns the same request and "
            "asks nobody twice",
        ),
    ] = None
    trace_id: Annotated[
        Text | None, Field(min_length=1, max_length=128, description="Your trace, for the audit log")
    ] = None
    metadata: Annotated[
        dict[str, JsonValue],
        AfterValidator(_small_json),
        Field(description="Anything else worth keeping with the request, 16 KiB at most"),
    ] = {}

    @model_validator(mode="after")
    def _waits_no_longer_than_people_may_take(self) -> Self:
        if self.wait_seconds and self.timeout_seconds and self.wait_seconds > self.timeout_seconds:
            raise ValueError(
                f"wait_seconds ({self.wait_seconds}) must not be more than timeout_seconds "
                f"({self.timeout_seconds}): the request would have ended by then"
            )
        return self

    def submission(self, action: Action) -> Submission:
        """The submission these arguments stand for, about an action that the contract accepted."""
        return Submission(
            action=action,
            justification=self.justification,
            summary=self.summary,
            risk_level=self.risk_level,
            timeout_seconds=self.timeout_seconds,
            idempotency_key=self.idempotency_key,
            trace_id=self.trace_id,
            metadata=self.metadata,
        )


class CheckStatusArguments(Arguments):
    """Arguments of `check_status`."""

    request_id: RequestId
    wait_seconds: WaitSeconds = None
    answer: Annotated[
        Text | None,
        AfterValidator(_not_blank_if_given),
        Field(
            max_length=4000,
            description="Your answer to the first question of `questions` that has none. People read it as "
            "your words; it changes nothing of what you ask for",
        ),
    ] = None


class CancelRequestArguments(Arguments):
    """Arguments of `cancel_request`."""

    request_id: RequestId
    reason: Annotated[Reason | None, Field(description="Why it is no longer wanted")] = None


class ListRequestsArguments(Arguments):
    """Arguments of `list_requests`."""

    status: Annotated[
        RequestStatus | None,
        Field(strict=False, description="Only requests of this status; all when left out"),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE, description="Most requests to return")] = (
        DEFAULT_PAGE_SIZE
    )
    cursor: Annotated[
        Text | None, Field(min_length=1, max_length=500, description="next_cursor of the page before")
    ] = None


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def parse_arguments(model: type[ArgumentsT], value: object, *, consequence: str) -> ArgumentsT:
    """Check a JSON object against a model.

    Raises:
        InvalidArguments: naming every field that is wrong. `consequence` opens the message.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        allowed = tuple(field.alias or name for name, field in model.model_fields.items())
        raise InvalidArguments(problems_of(error, allowed=allowed), consequence=consequence) from None


def parse_submission(value: object, *, consequence: str) -> tuple[RequestApprovalArguments, Submission]:
    """Check the arguments of `request_approval` and the action among them.

    An action may also come as a string of JSON: some clients send nested objects that way.

    Raises:
        InvalidArguments: naming every field that is wrong; fields of the action start with `action.`.
    """
    problems: list[FieldProblem] = []
    arguments: RequestApprovalArguments | None = None
    try:
        arguments = parse_arguments(RequestApprovalArguments, value, consequence=consequence)
    except InvalidArguments as error:
        problems.extend(error.problems)
    action: Action | None = None
    if isinstance(value, dict) and "action" in value:
        try:
            action = parse_action_argument(cast("dict[str, object]", value)["action"])
        except InvalidAction as error:
            problems.extend(error.problems)
    if arguments is None or action is None or problems:
        raise InvalidArguments(tuple(problems), consequence=consequence)
    return arguments, arguments.submission(action)


def parse_action_argument(stated: object) -> Action:
    """Check an action that is one argument of several; it may come as a string of JSON.

    Raises:
        InvalidAction: naming every field that is wrong, as fields of `action`.
    """
    try:
        return parse_action_json(stated) if isinstance(stated, str) else parse_action(stated)
    except InvalidAction as error:
        raise InvalidAction(tuple(_within_action(problem) for problem in error.problems)) from None


def _within_action(problem: FieldProblem) -> FieldProblem:
    field = problem.field if problem.field.split(".")[0] == "action" else f"action.{problem.field}"
    return FieldProblem(field, problem.message)
