"""A tool's output schema in its plain form accepts and refuses what the derived one does."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, JsonValue

from server_kit.output_schemas import output_schema


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    colour: Colour | None


class Whole(BaseModel):
    title: Annotated[str, Field(description="A field called as a keyword is")]
    colour: Annotated[Colour, Field(description="Which")]
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    either: int | str | None = None
    anything: dict[str, JsonValue] | None = None
    counts: dict[str, int] = {}


GOOD: dict[str, Any] = {
    "title": "t",
    "colour": "red",
    "part": {"name": "n", "colour": None},
    "parts": [{"name": "m", "colour": "blue"}],
    "either": 5,
    "anything": {"deep": [1, None]},
    "counts": {"a": 1},
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"part": None},
    {"either": None},
    {"either": "x"},
    {"anything": None},
    {"title": None},
    {"colour": "green"},
    {"colour": None},
    {"part": {"name": "n"}},
    {"part": {"name": "n", "colour": "green"}},
    {"parts": [{"name": 5, "colour": None}]},
    {"either": 1.5},
    {"anything": [1]},
    {"counts": {"a": "1"}},
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_plain_schema_accepts_exactly_what_the_derived_one_accepts(change: dict[str, Any]) -> None:
    value = {**GOOD, **change}
    derived = Draft202012Validator(Whole.model_json_schema(mode="serialization"))
    assert Draft202012Validator(output_schema(Whole)).is_valid(value) is derived.is_valid(value)


def test_the_plain_schema_keeps_descriptions_and_fields_called_title_and_has_no_references() -> None:
    schema = output_schema(Whole)
    assert schema["properties"]["colour"]["description"] == "Which"
    assert schema["properties"]["title"]["type"] == "string"
    assert schema["properties"]["anything"]["type"] == ["object", "null"]
    assert "$ref" not in str(schema)
    assert "$defs" not in str(schema)
