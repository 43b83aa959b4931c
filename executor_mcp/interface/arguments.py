"""What an agent may pass, field by field: strict types, bounded sizes, no unknown names."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from executor_mcp.errors import InvalidArgument
from hitl_contract.action import action_json_schema
from hitl_contract.capability import MAX_TOKEN_BYTES

MAX_WAIT_SECONDS = 3600
_LONGEST_INTEGER_SHOWN = 10**12


class Arguments(BaseModel):
    """Base of all arguments: no coercion, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


CapabilityToken = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_TOKEN_BYTES,
        description="capability_token as request_approval or check_status of the approval server returned it",
    ),
]
ExecutionId = Annotated[
    str, Field(min_length=1, max_length=64, description="The execution_id that execute returned")
]
WaitSeconds = Annotated[
    float | None,
    Field(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="How long to wait for the end before answering, in seconds. A call without a progress "
        "token is held for 45 seconds at most, whatever is asked for",
    ),
]


class ExecuteArguments(Arguments):
    """Arguments of `execute`. `action` is checked by the gate, not here."""

    capability_token: CapabilityToken
    action: Annotated[
        dict[str, Any] | None,
        Field(
            description="The action exactly as it was approved. Leave it out and the executor reads the "
            "approved action from the approval server by the digest in the token"
        ),
    ] = None
    wait_seconds: WaitSeconds = None


class GetExecutionArguments(Arguments):
    execution_id: ExecutionId
    wait_seconds: WaitSeconds = None


class CancelExecutionArguments(Arguments):
    execution_id: ExecutionId


class ListExecutionsArguments(Arguments):
    limit: Annotated[int, Field(ge=1, le=200, description="Most executions in the answer")] = 50
    cursor: Annotated[
        str | None, Field(max_length=200, description="next_cursor of the page before this one")
    ] = None
    active: Annotated[bool, Field(description="Only executions that have not ended")] = False


class ReadOutputFileArguments(Arguments):
    execution_id: ExecutionId
    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="path as files_created names it; or /dev/stdout, /dev/stderr, /dev/result for the "
            "output itself",
        ),
    ]
    offset: Annotated[int, Field(ge=0, le=2**40, description="Where to begin, in bytes: next_offset")] = 0


class ListLanguagesArguments(Arguments):
    """None."""


class ValidateCodeArguments(Arguments):
    action: Annotated[dict[str, Any], Field(description="The action as it would be sent to request_approval")]


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def parse_arguments(model: type[ArgumentsT], given: Mapping[str, object]) -> ArgumentsT:
    """Raises InvalidArgument with one sentence per field: what is wrong and what is allowed, never the value
    of a text.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        allowed = ", ".join(model.model_fields) or "none"
        problems = [_problem(details, allowed) for details in error.errors(include_url=False)[:20]]
        raise InvalidArgument("; ".join(problems)) from None


def input_schema(model: type[Arguments]) -> dict[str, Any]:
    """The JSON Schema of the arguments; `action`, where there is one, is described in full."""
    schema = model.model_json_schema()
    properties = cast("dict[str, Any]", schema.get("properties", {}))
    if "action" in properties:
        action = cast("dict[str, Any]", action_json_schema())
        schema["$defs"] = {**schema.get("$defs", {}), **action.pop("$defs")}
        described = properties["action"]
        optional = "action" not in schema.get("required", [])
        properties["action"] = {
            "description": described["description"],
            **({"anyOf": [action, {"type": "null"}], "default": None} if optional else action),
        }
    return schema


def _problem(details: ErrorDetails, allowed: str) -> str:
    field = ".".join(str(part)[:60] for part in details["loc"]) or "arguments"
    match details["type"]:
        case "missing":
            return f"{field}: is missing and required"
        case "extra_forbidden":
            return f"{field}: is not an argument; the arguments are {allowed}"
        case _:
            return (
                f"{field}: {details['msg'].removeprefix('Input ')} (given: "
                f"{_described(details.get('input'))})"
            )


def _described(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value}" if abs(value) < _LONGEST_INTEGER_SHOWN else "a very large number"
        case str():
            return f"a text of {len(value)} characters"
        case _:
            return f"a value of type {type(value).__name__}"
