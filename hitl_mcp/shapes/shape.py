"""A shape: one action as it was shown, in which a few named places may vary within patterns.

An action matches when, in this order:

1. it is of the same type;
2. it has every varying place, and the value there is one that its pattern admits;
3. everything else is the same to the byte: with the varying places blanked out, the two canonical documents
   have one digest. A key more or less, another type or another Unicode form is another document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import JsonValue, ValidationError

from hitl_contract.action import Action, canonical_action
from hitl_contract.action_code import CodeExecution
from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_contract.errors import CanonicalizationError
from hitl_mcp.shapes.errors import ShapeRefused
from hitl_mcp.shapes.patterns import PATTERNS, AtMost, NetworkWithin, Pattern, SubsetOf
from hitl_mcp.shapes.places import require_variable, tokens_of, value_at, without

MAX_PLACES: Final = 32


@dataclass(frozen=True, slots=True)
class Shape:
    """`fixed_digest` is over everything that does not vary; `places` are JSON pointers, sorted."""

    action_type: str
    fixed_digest: str
    places: tuple[tuple[str, Pattern], ...]

    def matches(self, action: Action) -> bool:
        """Whether this is an action that was allowed; never raises."""
        if action.type != self.action_type:  # 1
            return False
        document = _document(action)
        try:
            for pointer, pattern in self.places:  # 2
                if not pattern.admits(value_at(document, tokens_of(pointer))):
                    return False
            return _fixed_digest(document, self.places) == self.fixed_digest  # 3
        except (KeyError, CanonicalizationError, OverflowError):
            return False

    def to_text(self) -> str:
        """The one text form, as stored and sealed."""
        return canonical_json(
            {
                "action_type": self.action_type,
                "fixed_digest": self.fixed_digest,
                "places": {pointer: pattern.model_dump(mode="json") for pointer, pattern in self.places},
            }
        ).decode()

    @classmethod
    def from_text(cls, text: str) -> Shape:
        """Raises ValueError for what `to_text` did not write."""
        fields = cast("dict[str, Any]", json.loads(text))
        try:
            places = PATTERNS.validate_python(fields["places"])
            return cls(str(fields["action_type"]), str(fields["fixed_digest"]), tuple(sorted(places.items())))
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no shape: {error}") from error


def shape_of(action: Action, varying: Mapping[str, Pattern]) -> Shape:
    """The shape of a reviewed action with these places free to vary.

    A program may also run with less than was shown: lower limits, fewer packages, fewer domains.

    Raises:
        ShapeRefused: a place does not vary, is not there, or does not hold what was shown.
    """
    if len(varying) > MAX_PLACES:
        raise ShapeRefused("vary", f"names {len(varying)} places; at most {MAX_PLACES} may vary")
    for pointer, pattern in varying.items():
        require_variable(action.type, pointer, pattern.pattern)
    document = _document(action)
    places = {**varying, **_at_most_as_shown(action)}
    _refuse_overlaps(places)
    for pointer, pattern in places.items():
        try:
            shown = value_at(document, tokens_of(pointer))
        except KeyError:
            raise ShapeRefused(pointer, "is not in the action that was shown") from None
        if not pattern.admits(shown):
            raise ShapeRefused(pointer, f"the pattern does not hold what was shown; it is {pattern.words()}")
    ordered = tuple(sorted(places.items()))
    return Shape(action.type, _fixed_digest(document, ordered), ordered)


def patterns_from(value: object) -> dict[str, Pattern]:
    """The patterns that a form names, by place. Raises ShapeRefused."""
    try:
        return PATTERNS.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = str(first["loc"][0]) if first["loc"] else "vary"
        raise ShapeRefused(place, first["msg"].removeprefix("Value error, ")) from None


def shown_values(action: Action, shape: Shape) -> dict[str, JsonValue]:
    """What the reviewed action holds at each varying place."""
    document = _document(action)
    return {pointer: value_at(document, tokens_of(pointer)) for pointer, _ in shape.places}


def _document(action: Action) -> JsonValue:
    return cast("JsonValue", json.loads(canonical_action(action)))


def _fixed_digest(document: JsonValue, places: tuple[tuple[str, Pattern], ...]) -> str:
    fixed = without(document, [tokens_of(pointer) for pointer, _ in places])
    return digest_of_bytes(canonical_json(fixed))


def _at_most_as_shown(action: Action) -> dict[str, Pattern]:
    if not isinstance(action, CodeExecution):
        return {}
    limits = cast("dict[str, int | float]", action.limits.model_dump(mode="json"))
    less: dict[str, Pattern] = {
        f"/limits/{name}": AtMost(maximum=most, whole=name not in {"wall_seconds", "cpus"})
        for name, most in limits.items()
    }
    if action.packages:
        less["/packages"] = SubsetOf(values=action.packages)
    if action.network.domains:
        less["/network"] = NetworkWithin(domains=action.network.domains)
    return less


def _refuse_overlaps(places: Mapping[str, Pattern]) -> None:
    every = {pointer: tokens_of(pointer) for pointer in places}
    for pointer, tokens in every.items():
        for other, longer in every.items():
            if pointer != other and longer[: len(tokens)] == tokens:
                raise ShapeRefused(other, f"is inside {pointer}, which varies already")
