"""The JSON Schema of what a tool answers, in the plainest form that means the same.

Clients check each answer against it, and agents read it: references resolved in place, and `null` as one more
type instead of a choice between two schemas, halve what the check costs a client in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, cast

from pydantic import BaseModel


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of `model` as it is serialised. The model must not contain itself: RecursionError."""
    return deepcopy(_output_schema(model))


# A process may hold several servers, and writing the schemas is most of what making one takes.
@cache
def _output_schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization")
    return _plain(schema, schema.pop("$defs", {}))


def _plain(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        named = definitions[str(schema["$ref"]).rpartition("/")[2]]
        return _plain(
            {**named, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions
        )
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "title":
            continue
        if key == "properties":
            properties = cast("Mapping[str, Any]", value)
            plain[key] = {name: _plain(each, definitions) for name, each in properties.items()}
        elif key in {"items", "additionalProperties"} and isinstance(value, dict):
            plain[key] = _plain(cast("Mapping[str, Any]", value), definitions)
        elif key in {"anyOf", "prefixItems"}:
            plain[key] = [_plain(each, definitions) for each in cast("list[Mapping[str, Any]]", value)]
        else:
            plain[key] = value
    if plain.get("additionalProperties") == {}:
        del plain["additionalProperties"]
    return _nullable(plain)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    match schema.get("anyOf"):
        case [{"type": str() as kind} as value, {"type": "null"}] if (
            "enum" not in value and "const" not in value
        ):
            rest = {key: each for key, each in schema.items() if key != "anyOf"}
            return {**value, "type": [kind, "null"], **rest}
        case _:
            return schema
