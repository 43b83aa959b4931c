"""What the interpreter has built in of libraries that take longer to load than most programs run. Part of the
supervisor's source.

CPython's `json`, `socket` and `signal` are made of these modules, which have had these names since 3.0. What
is left out is what takes long: regular expressions, enumerations, convenience.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

signal: Any = __import__("_signal")
socket: Any = __import__("_socket")


class _Reading:
    """What `_json.make_scanner` asks of a `json.JSONDecoder`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def dumps(value: object) -> bytes:
    """As `json.dumps` does, in UTF-8."""
    encode = _json.make_encoder(
        {}, _refuse, _json.encode_basestring_ascii, None, ": ", ", ", False, False, False
    )
    return "".join(encode(value, 0)).encode()


def loads(data: bytes) -> Any:
    """JSON without white space around it. Raises ValueError."""
    text = data.decode()
    scan: Any = _json.make_scanner(_Reading)  # pyright: ignore[reportArgumentType]
    try:
        value, end = scan(text, 0)
    except StopIteration:
        raise ValueError("no JSON") from None
    if end != len(text):
        raise ValueError("more than one value of JSON")
    return value


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON")
