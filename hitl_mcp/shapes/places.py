"""Places in an action's JSON document, as JSON pointers (RFC 6901), and which of them may vary at all."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from pydantic import JsonValue

from hitl_mcp.shapes.errors import ShapeRefused

Tokens = tuple[str, ...]
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")

_SCALARS: Final = frozenset({"any_of", "at_most", "within", "same_host", "text", "boolean", "subset_of"})
_DATA: Final = _SCALARS
# Of each type of action: the places that an approver may vary, and by which patterns. "*" is one name, "**"
# one or more. The program that runs, its code, and the text of a change are never among them.
VARIABLE: Final[dict[str, tuple[tuple[Tokens, frozenset[str]], ...]]] = {
    "code_execution": ((("input_data", "**"), _DATA),),
    "package_addition": (),
    "shell_command": (
        (("argv", "*"), frozenset({"any_of", "within"})),
        (("cwd",), frozenset({"any_of", "within"})),
        (("env", "*"), frozenset({"any_of"})),
    ),
    "tool_call": ((("arguments", "**"), _DATA),),
    "http_request": (
        (("url",), frozenset({"any_of", "same_host"})),
        (("headers", "*"), frozenset({"any_of"})),
        (("body_sha256",), frozenset({"any_of"})),
    ),
    "file_change": ((("path",), frozenset({"any_of", "within"})),),
    "generic": ((("details", "**"), _DATA),),
}


def tokens_of(pointer: str) -> Tokens:
    """The names on the way. Raises ShapeRefused for what is no pointer."""
    if not pointer.startswith("/") or len(pointer) > 500 or _BAD_ESCAPE.search(pointer):
        raise ShapeRefused(pointer, "is no JSON pointer such as /arguments/amount")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def require_variable(action_type: str, pointer: str, pattern: str) -> None:
    """Raises ShapeRefused unless this place may vary in this way."""
    tokens = tokens_of(pointer)
    for place, patterns in VARIABLE[action_type]:
        if _covers(place, tokens) and tokens != ("argv", "0"):
            if pattern in patterns:
                return
            allowed = ", ".join(sorted(patterns))
            raise ShapeRefused(pointer, f"cannot vary by {pattern!r}; there it may be one of {allowed}")
    names = ", ".join("/" + "/".join(place) for place, _ in VARIABLE[action_type])
    may = f"what may is below {names}" if names else "nothing may"
    raise ShapeRefused(pointer, f"never varies in a {action_type}; {may}")


def value_at(document: JsonValue, tokens: Tokens) -> JsonValue:
    """The value at a place. Raises KeyError when there is none."""
    value = document
    for token in tokens:
        value = _step(value, token)
    return value


def without(document: JsonValue, places: Collection[Tokens]) -> JsonValue:
    """The document with null at these places, which are all there; nothing is changed in place."""
    if not places:
        return document
    if () in places:
        return None
    if isinstance(document, dict):
        return {
            key: without(value, [place[1:] for place in places if place[0] == key])
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [
            without(value, [place[1:] for place in places if place[0] == str(index)])
            for index, value in enumerate(document)
        ]
    raise KeyError(next(iter(places))[0])


def _step(value: JsonValue, token: str) -> JsonValue:
    if isinstance(value, dict):
        return value[token]
    if isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
        return value[int(token)]
    raise KeyError(token)


def _covers(place: Tokens, tokens: Tokens) -> bool:
    if place[-1] == "**":
        return len(tokens) >= len(place) and tokens[: len(place) - 1] == place[:-1]
    return len(place) == len(tokens) and all(
        mine in {"*", theirs} for mine, theirs in zip(place, tokens, strict=True)
    )
