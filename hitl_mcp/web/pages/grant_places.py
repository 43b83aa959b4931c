"""Which places of an action a form offers to vary, and what its fields say. Pure.

The form only collects: what a place may be is decided by `shapes`, which refuses what it does not know, and
the person confirms the words that come of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import JsonValue

from hitl_contract.action import Action, canonical_action
from hitl_contract.display import safe_text
from hitl_mcp.shapes.errors import ShapeRefused
from hitl_mcp.shapes.patterns import PATTERNS, Pattern
from hitl_mcp.shapes.places import require_variable
from hitl_mcp.shapes.shape import patterns_from

MAX_OFFERED: Final = 24
_LONGEST_SHOWN: Final = 2000
_WORDS: Final[Mapping[str, str]] = {
    "any_of": "one of these (a line each)",
    "at_most": "at most this number",
    "within": "anything inside this directory",
    "same_host": "any address that begins with this",
    "text": "any line of text, of at most this many characters",
    "boolean": "true or false",
    "subset_of": "some of these (a line each)",
}
_FOR_TEXT: Final = ("any_of", "within", "same_host", "text")


@dataclass(frozen=True)
class PlaceView:
    """One place: its pointer, what was shown there, and the ways in which it may vary."""

    pointer: str
    shown: str
    choices: tuple[tuple[str, str], ...]
    chosen: str
    value: str


def offered_places(action: Action, form: Mapping[str, str]) -> list[PlaceView]:
    """Every place that may vary, with what the form says of it already."""
    places: list[PlaceView] = []
    document = cast("JsonValue", json.loads(canonical_action(action)))
    for pointer, value in _leaves(document, ""):
        choices = tuple((how, _WORDS[how]) for how in _ways(value) if _may(action.type, pointer, how))
        shown = _as_field(value)
        if choices and len(places) < MAX_OFFERED and shown is not None:
            chosen, stated = form.get(f"how:{pointer}", ""), form.get(f"value:{pointer}")
            places.append(PlaceView(pointer, shown, choices, chosen, shown if stated is None else stated))
    return places


def chosen_patterns(action: Action, form: Mapping[str, str]) -> dict[str, Pattern]:
    """What the form lets vary. Raises ShapeRefused, naming the place."""
    document = cast("JsonValue", json.loads(canonical_action(action)))
    shown = dict(_leaves(document, ""))
    stated: dict[str, Any] = {}
    for name, how in form.items():
        if name.startswith("how:") and how:
            pointer = name.removeprefix("how:")
            value = form.get(f"value:{pointer}", "").replace("\r\n", "\n")
            stated[pointer] = _pattern(pointer, how, value, shown.get(pointer))
    return patterns_from(stated)


def patterns_text(patterns: Mapping[str, Pattern]) -> str:
    """Patterns as a hidden field carries them from the preview to the confirmation."""
    return PATTERNS.dump_json(dict(patterns)).decode()


def patterns_of_text(text: str) -> dict[str, Pattern]:
    """Raises ShapeRefused for what is no such field."""
    try:
        return patterns_from(json.loads(text or "{}"))
    except ValueError:
        raise ShapeRefused("vary", "cannot be read; open the form again") from None


def _leaves(value: JsonValue, pointer: str) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        yield pointer, value
        for index, each in enumerate(value):
            yield from _leaves(each, f"{pointer}/{index}")
    else:
        yield pointer, value


def _ways(value: JsonValue) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int | float):
        return ("at_most",)
    if isinstance(value, str):
        return _FOR_TEXT
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return ("subset_of",)
    return ()


def _may(action_type: str, pointer: str, how: str) -> bool:
    try:
        require_variable(action_type, pointer, how)
    except ShapeRefused:
        return False
    return True


def _as_field(value: JsonValue) -> str | None:
    """The value as a person may edit it; None where a field would not give it back as it is."""
    texts = [str(each) for each in value] if isinstance(value, list) else None
    if texts is not None:
        text = "\n".join(texts)
        plain = all(safe_text(each) == each for each in texts)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
        plain = safe_text(text) == text
    return text if plain and len(text) <= _LONGEST_SHOWN else None


def _pattern(pointer: str, how: str, value: str, shown: JsonValue) -> dict[str, Any]:
    lines = [line for line in value.split("\n") if line]
    match how:
        case "any_of" | "subset_of":
            return {"pattern": how, "values": lines}
        case "at_most":
            whole = isinstance(shown, int)
            return {"pattern": how, "maximum": _number(pointer, value, whole=whole), "whole": whole}
        case "within":
            return {"pattern": how, "directory": value.strip()}
        case "same_host":
            return {"pattern": how, "prefix": value.strip()}
        case "text":
            return {"pattern": how, "max_characters": _number(pointer, value, whole=True)}
        case _:
            return {"pattern": how}


def _number(pointer: str, value: str, *, whole: bool) -> int | float:
    try:
        return int(value) if whole else float(value)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise ShapeRefused(pointer, f"needs {kind}, not {safe_text(value)[:40]!r}") from None
