"""How a person fills in the answer to a question: a plain form where one does, else JSON. Pure.

A choice and an enum are answered by their number, so that no text of the agent comes back as a value. What a
form gives is checked against the question like every answer; here it is only read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from pydantic import JsonValue

from hitl_contract.canonical import parse_strict_json
from hitl_contract.errors import CanonicalizationError, FieldProblem
from hitl_mcp.approvals.errors import InvalidAnswer
from hitl_mcp.approvals.human_questions import HumanQuestion

_VALUE: Final = "value"
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_FLAT: Final = frozenset(
    {"$schema", "type", "title", "description", "properties", "required", "additionalProperties"}
)


class FieldKind(StrEnum):
    """TEXT is one line, LONG several; CHOICE is radio buttons, SELECT a list; JSON is a value as it is."""

    TEXT = "text"
    LONG = "long"
    NUMBER = "number"
    CHOICE = "choice"
    SELECT = "select"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class FormField:
    """One field. `options` are label and value; `key` is the property that it fills, None for the whole."""

    name: str
    label: str
    kind: FieldKind
    required: bool = True
    hint: str = ""
    options: tuple[tuple[str, JsonValue], ...] = ()
    key: str | None = None


def fields_of(question: HumanQuestion) -> tuple[FormField, ...]:
    """The fields of the form for this question."""
    if question.choices:
        options = tuple((choice, cast("JsonValue", choice)) for choice in question.choices)
        return (FormField(_VALUE, "Your answer", FieldKind.CHOICE, options=options),)
    schema = question.answer_schema
    if schema is None:
        return (FormField(_VALUE, "Your answer", FieldKind.LONG),)
    if _is_scalar(schema):
        return (_field(_VALUE, "Your answer", schema, required=True, key=None),)
    flat = _flat_properties(schema)
    if flat is None:
        return (FormField(_VALUE, "Your answer, as JSON", FieldKind.JSON),)
    required = cast("list[str]", schema.get("required", []))
    return tuple(
        _field(f"field.{number}", key, each, required=key in required, key=key)
        for number, (key, each) in enumerate(flat.items(), 1)
    )


def read_form(question: HumanQuestion, form: Mapping[str, str]) -> JsonValue:
    """The answer that a filled-in form stands for. Raises InvalidAnswer for what cannot be read."""
    fields = fields_of(question)
    problems: list[FieldProblem] = []
    answer: dict[str, JsonValue] = {}
    for each in fields:
        text = form.get(each.name, "").replace("\r\n", "\n")
        place = "answer" if each.key is None else f"answer.{each.key}"
        textual = each.kind in {FieldKind.TEXT, FieldKind.LONG}
        if not text and not (each.required and textual):
            if each.required:
                problems.append(FieldProblem(place, "is missing"))
            continue
        try:
            answer[each.name] = _read(each, text)
        except ValueError as error:
            problems.append(FieldProblem(place, str(error)))
    if problems:
        raise InvalidAnswer(tuple(problems))
    if fields and fields[0].key is None:
        return answer[_VALUE]
    return {each.key: answer[each.name] for each in fields if each.key is not None and each.name in answer}


def filled_in(question: HumanQuestion, answer: JsonValue) -> Mapping[str, str]:
    """The form that `read_form` reads as `answer`, which fits the question."""
    form: dict[str, str] = {}
    for each in fields_of(question):
        if each.key is None:
            form[each.name] = _written(each, answer)
        elif isinstance(answer, dict) and each.key in answer:
            form[each.name] = _written(each, answer[each.key])
    return form


def read_typed(question: HumanQuestion, text: str) -> JsonValue:
    """The answer that somebody typed as one word: a choice or its number, text, or JSON where it has to be.

    Raises InvalidAnswer.
    """
    field = fields_of(question)[0]
    if field.key is not None or field.kind in {FieldKind.JSON, FieldKind.NUMBER}:
        return _json(text)
    if not field.options:
        return text
    for label, value in field.options:
        if label == text:
            return value
    try:
        return _read(field, text)
    except ValueError as error:
        raise InvalidAnswer((FieldProblem("answer", str(error)),)) from None


def _field(
    name: str, label: str, schema: Mapping[str, JsonValue], *, required: bool, key: str | None
) -> FormField:
    hint = schema.get("description")
    title = schema.get("title")
    kind, options = _kind(schema)
    return FormField(
        name,
        f"{label} ({title})" if isinstance(title, str) and title and title != label else label,
        kind,
        required,
        hint if isinstance(hint, str) else "",
        options,
        key,
    )


def _kind(schema: Mapping[str, JsonValue]) -> tuple[FieldKind, tuple[tuple[str, JsonValue], ...]]:
    enum = schema.get("enum")
    if isinstance(enum, list):
        return FieldKind.SELECT, tuple((_label(value), value) for value in enum)
    match schema.get("type"):
        case "boolean":
            return FieldKind.SELECT, (("yes", True), ("no", False))
        case "integer" | "number":
            return FieldKind.NUMBER, ()
        case _:
            longest = schema.get("maxLength")
            short = isinstance(longest, int) and longest <= 100
            return (FieldKind.TEXT if short else FieldKind.LONG), ()


def _label(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_scalar(schema: Mapping[str, JsonValue]) -> bool:
    if "anyOf" in schema or "const" in schema:
        return False
    enum = schema.get("enum")
    if isinstance(enum, list):
        return all(not isinstance(value, dict | list) for value in enum)
    kind = schema.get("type")
    return isinstance(kind, str) and kind in _SCALARS


def _flat_properties(schema: Mapping[str, JsonValue]) -> Mapping[str, Mapping[str, JsonValue]] | None:
    properties, required = schema.get("properties"), schema.get("required", [])
    if schema.get("type") != "object" or not _FLAT.issuperset(schema) or not isinstance(properties, dict):
        return None
    if not isinstance(schema.get("additionalProperties", False), bool) or not properties:
        return None
    if not isinstance(required, list) or any(name not in properties for name in required):
        return None
    flat = {name: each for name, each in properties.items() if isinstance(each, dict) and _is_scalar(each)}
    return flat if len(flat) == len(properties) else None


def _read(field: FormField, text: str) -> JsonValue:
    match field.kind:
        case FieldKind.TEXT | FieldKind.LONG:
            return text
        case FieldKind.CHOICE | FieldKind.SELECT:
            if (
                not text.isascii()
                or not text.isdigit()
                or len(text) > 4
                or not 0 < int(text) <= len(field.options)
            ):
                raise ValueError(f"must be one of the choices, or its number from 1 to {len(field.options)}")
            return field.options[int(text) - 1][1]
        case FieldKind.NUMBER:
            value = _json_or_none(text.strip())
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError("must be a number, such as 3 or 2.5")  # noqa: TRY004 - it is text that is read
            return value
        case FieldKind.JSON:
            return _json(text)


def _written(field: FormField, value: JsonValue) -> str:
    if field.options:
        same = [number for number, (_, each) in enumerate(field.options, 1) if _same(each, value)]
        return str(same[0])
    if field.kind in {FieldKind.TEXT, FieldKind.LONG}:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _same(one: JsonValue, other: JsonValue) -> bool:
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _json_or_none(text: str) -> JsonValue:
    try:
        return cast("JsonValue", parse_strict_json(text.encode()))
    except CanonicalizationError:
        return None


def _json(text: str) -> JsonValue:
    try:
        return cast("JsonValue", parse_strict_json(text.encode()))
    except CanonicalizationError as error:
        raise InvalidAnswer((FieldProblem("answer", f"is not JSON: {error}"),)) from None
