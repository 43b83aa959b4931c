"""What an agent may ask an answer to look like: a bounded part of JSON Schema, draft 2020-12.

1. A schema is small, flat enough, and made of the keywords below alone; any other is refused, so that nobody
   believes in a check that is not made. `$ref`, `pattern` and their like are among the refused: nothing is
   looked up, and no regular expression of an agent runs here.
2. It is valid draft 2020-12.
3. An answer is small too, before it is checked; `format` is not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import JsonValue

from hitl_contract.canonical import canonical_json
from hitl_contract.errors import CanonicalizationError, FieldProblem
from hitl_mcp.approvals.dialogue import MAX_ANSWER_BYTES
from hitl_mcp.approvals.errors import InvalidSubmission

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_SCHEMA_BYTES: Final = 8192
MAX_SCHEMA_DEPTH: Final = 6
MAX_PROPERTIES: Final = 50
MAX_ANSWER_VALUES: Final = 1000
MAX_PROBLEMS: Final = 20
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ANNOTATIONS: Final = {"$schema", "title", "description", "default", "examples", "format"}
_ASSERTIONS: Final = {
    "type",
    "enum",
    "const",
    "required",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
}
_APPLICATORS: Final = {"properties", "additionalProperties", "items", "anyOf"}
ALLOWED_KEYWORDS: Final = frozenset(_ANNOTATIONS | _ASSERTIONS | _APPLICATORS)


def check_answer_schema(schema: object) -> dict[str, JsonValue]:
    """The schema, once it is known to be one that is allowed here. Raises InvalidSubmission."""
    if not isinstance(schema, dict):
        raise _refused("must be a JSON object")
    try:
        size = len(canonical_json(cast("object", schema)))
    except (CanonicalizationError, RecursionError) as error:
        raise _refused(f"must be plain JSON: {error}") from error
    if size > MAX_SCHEMA_BYTES:  # 1
        raise _refused(f"is {size} bytes; at most {MAX_SCHEMA_BYTES} are allowed")
    _check_keywords(cast("dict[str, Any]", schema), "answer_schema", 1)
    # jsonschema brings a tenth of a second of imports, which a start over stdio should not pay.
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(cast("dict[str, Any]", schema))  # 2
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        raise _refused(
            f"is no JSON Schema of draft 2020-12: {place or 'as a whole'}: {error.message[:300]}"
        ) from None
    return cast("dict[str, JsonValue]", schema)


def answer_problems(schema: Mapping[str, JsonValue], answer: JsonValue) -> tuple[FieldProblem, ...]:
    """What keeps `answer` from fitting a schema that `check_answer_schema` let pass; empty when it fits."""
    if oversized := size_problem(answer):  # 3
        return (oversized,)
    # See `check_answer_schema`.
    from jsonschema import Draft202012Validator

    found: list[FieldProblem] = []
    checker: Any = Draft202012Validator(cast("Any", schema))
    for error in checker.iter_errors(answer):
        found.append(FieldProblem(_place(error), error.message[:300]))
        if len(found) == MAX_PROBLEMS:
            break
    return tuple(sorted(found, key=lambda problem: problem.field))


def size_problem(answer: JsonValue) -> FieldProblem | None:
    """Why `answer` cannot be kept at all, whatever was asked for."""
    try:
        size = len(canonical_json(answer))
    except (CanonicalizationError, RecursionError) as error:
        return FieldProblem("answer", f"is not JSON that can be kept exactly: {error}")
    if size > MAX_ANSWER_BYTES:
        return FieldProblem("answer", f"is {size} bytes of JSON; at most {MAX_ANSWER_BYTES} are allowed")
    if _holds_nul(answer):
        return FieldProblem("answer", "contains a NUL character (U+0000); remove it")
    if _count(answer) > MAX_ANSWER_VALUES:
        return FieldProblem("answer", f"has more than {MAX_ANSWER_VALUES} values in it")
    return None


def _check_keywords(schema: Mapping[str, Any], place: str, depth: int) -> None:
    if depth > MAX_SCHEMA_DEPTH:
        raise _refused(f"is nested deeper than {MAX_SCHEMA_DEPTH} levels at {place}")
    for keyword in schema:
        if keyword not in ALLOWED_KEYWORDS:
            raise _refused(
                f"uses {keyword[:60]!r} at {place}, which is not supported here. Allowed are: "
                f"{', '.join(sorted(ALLOWED_KEYWORDS))}"
            )
    if schema.get("$schema", _DIALECT) != _DIALECT:
        raise _refused(f"is written for another draft; only {_DIALECT} is supported")
    properties = schema.get("properties", {})
    if isinstance(properties, dict):
        named = cast("dict[str, Any]", properties)
        if len(named) > MAX_PROPERTIES:
            raise _refused(f"has {len(named)} properties at {place}; at most {MAX_PROPERTIES} are allowed")
        for name, each in named.items():
            _check_part(each, f"{place}.{name[:60]}", depth)
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            _check_part(schema[keyword], f"{place}.{keyword}", depth)
    alternatives = schema.get("anyOf", [])
    if isinstance(alternatives, list):
        for number, each in enumerate(cast("list[Any]", alternatives)):
            _check_part(each, f"{place}.anyOf[{number}]", depth)


def _check_part(part: object, place: str, depth: int) -> None:
    # What is neither a schema nor true or false is refused by the draft's own check.
    if isinstance(part, dict):
        _check_keywords(cast("dict[str, Any]", part), place, depth + 1)


def _place(error: ValidationError) -> str:
    return ".".join(["answer", *map(str, error.absolute_path)])


def _holds_nul(value: JsonValue) -> bool:
    match value:
        case str():
            return "\x00" in value
        case dict():
            return any("\x00" in name or _holds_nul(each) for name, each in value.items())
        case list():
            return any(map(_holds_nul, value))
        case _:
            return False


def _count(value: JsonValue) -> int:
    match value:
        case dict():
            return 1 + sum(map(_count, value.values()))
        case list():
            return 1 + sum(map(_count, value))
        case _:
            return 1


def _refused(message: str) -> InvalidSubmission:
    return InvalidSubmission("answer_schema", message)
