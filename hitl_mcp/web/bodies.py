"""Reads JSON bodies: strictly, as objects, and with the same sentences about mistakes as the tools."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any, TypeVar, cast

from starlette.requests import Request

from hitl_contract.canonical import parse_strict_json
from hitl_contract.errors import CanonicalizationError
from hitl_mcp.interface.arguments import Arguments, parse_arguments
from server_kit.problems import ProblemDetail

ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


async def json_object(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        ProblemDetail: 415 for another media type, 400 for what is no JSON object.
    """
    body = await request.body()
    if not body and may_be_empty:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemDetail(415, "json_needed", "Send the body as application/json.")
    try:
        value = parse_strict_json(body)
    except CanonicalizationError as error:
        raise ProblemDetail(400, "invalid_json", f"The body is not acceptable JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProblemDetail(400, "object_needed", "The body must be a JSON object.")
    return cast("dict[str, Any]", value)


async def body_arguments(
    request: Request, model: type[ArgumentsT], *, consequence: str, may_be_empty: bool = False
) -> ArgumentsT:
    """The body checked against a model.

    Raises:
        ProblemDetail, InvalidArguments: naming each mistake.
    """
    return parse_arguments(
        model, await json_object(request, may_be_empty=may_be_empty), consequence=consequence
    )


def query_arguments(request: Request, model: type[ArgumentsT], *, consequence: str) -> ArgumentsT:
    """The query checked against a model; a number may be written as digits there.

    Raises:
        InvalidArguments: naming each mistake.
    """
    values: dict[str, object] = {}
    for name, text in request.query_params.multi_items():
        values[name] = (
            int(text) if text.isascii() and text.isdigit() and len(text) < 10 and name in _NUMBERS else text
        )
    return parse_arguments(model, values, consequence=consequence)


_NUMBERS = frozenset({"limit", "timeout_seconds", "after", "days"})


@cache
def _schema(model: type[Arguments]) -> dict[str, Any]:
    return inlined(model.model_json_schema())


def body_schema(model: type[Arguments], *, required: bool = True) -> dict[str, Any]:
    """How OpenAPI describes a body that is checked by `body_arguments`."""
    return {
        "requestBody": {
            "required": required,
            "content": {"application/json": {"schema": deepcopy(_schema(model))}},
        }
    }


def query_schema(model: type[Arguments]) -> dict[str, Any]:
    """How OpenAPI describes a query that is checked by `query_arguments`."""
    schema = deepcopy(_schema(model))
    required: list[str] = schema.get("required", [])
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": field.get("description", ""),
                "schema": _one_value(field),
            }
            for name, field in schema["properties"].items()
        ]
    }


def _one_value(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: what is left out is absent, never null."""
    kept = {name: value for name, value in field.items() if name not in {"title", "description", "anyOf"}}
    if kept.get("default", ...) is None:
        del kept["default"]
    given = [one for one in field.get("anyOf", []) if one.get("type") != "null"]
    return {**given[0], **kept} if len(given) == 1 else {**kept, **({"anyOf": given} if given else {})}


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema without `$defs`: OpenAPI resolves references against its own document."""
    definitions: dict[str, Any] = schema.get("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(item) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        fields = cast("dict[str, Any]", node)
        reference = fields.get("$ref")
        if isinstance(reference, str):
            target = definitions[reference.rpartition("/")[2]]
            siblings = {name: value for name, value in fields.items() if name != "$ref"}
            return resolve({**target, **siblings})
        return {name: resolve(value) for name, value in fields.items() if name != "$defs"}

    return cast("dict[str, Any]", resolve(schema))
