"""Turns pydantic's errors into sentences for an agent: the field, the value, what is allowed."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hitl_contract.action_files import FILE_TAGS
from hitl_contract.errors import FieldProblem

_TAGS: Final = frozenset(
    {
        "code_execution",
        "package_addition",
        "shell_command",
        "tool_call",
        "http_request",
        "file_change",
        "generic",
    }
)
_PAYLOAD_FIELDS: Final = frozenset(
    {
        "code",
        "content",
        "content_base64",
        "input_data",
        "diff",
        "env",
        "headers",
        "arguments",
        "details",
        "argv",
        "url",
    }
)
_MAX_PROBLEMS: Final = 20
_FILE_TAG_PLACE: Final = 3
"""code_execution, files, number, tag."""


def describe_problems(error: ValidationError) -> tuple[FieldProblem, ...]:
    """Return at most 20 problems; payload (code, files, data) is never quoted in them."""
    found = [_describe(detail) for detail in error.errors(include_url=False)[:_MAX_PROBLEMS]]
    return tuple(dict.fromkeys(found))


def _describe(detail: ErrorDetails) -> FieldProblem:
    path = tuple(
        part
        for index, part in enumerate(detail["loc"])
        if not ((index == 0 and part in _TAGS) or (index == _FILE_TAG_PLACE and part in FILE_TAGS))
    )
    field = ".".join(str(part)[:100] for part in path) or "action"
    kind = detail["type"]
    if kind == "union_tag_not_found":
        return FieldProblem("type", f"is missing; use one of {', '.join(sorted(_TAGS))}")
    if kind == "union_tag_invalid":
        return FieldProblem("type", f"is unknown ({_quoted(detail)}); use one of {', '.join(sorted(_TAGS))}")
    if kind == "extra_forbidden":
        return FieldProblem(field, "is not a field of this action; remove it or correct its name")
    if kind == "missing":
        return FieldProblem(field, "is required")
    message = detail["msg"].removeprefix("Value error, ")
    value = "" if _PAYLOAD_FIELDS.intersection(map(str, path)) else _quoted(detail)
    return FieldProblem(field, f"{message} (was {value})" if value else message)


def _quoted(detail: ErrorDetails) -> str:
    value: object = detail.get("input")
    if detail["type"] == "union_tag_invalid":
        value = detail.get("ctx", {}).get("tag")
    if value is None or isinstance(value, bool | int | float):
        return repr(value)[:60]
    if isinstance(value, str):
        return ascii(value) if len(value) <= 60 else f"a text of {len(value)} characters"
    return f"a value of type {type(value).__name__}"
