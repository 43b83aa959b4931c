"""Taking secrets and programs out of what is logged, by the name of a value and by the shape of a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 2000

_SECRET_NAME: Final = re.compile(
    r"token(?!_(?:id|expires|type))|secret|passw(?:or)?d|passphrase|authorization|cookie|api_?key|private_?key"
    r"|credential|signature|csrf|nonce|proof",
    re.IGNORECASE,
)
# What runs and what it reads is for the approver's eyes alone.
_CONTENT_NAMES: Final = frozenset(
    {"action", "arguments", "body", "code", "content", "content_base64", "diff", "env", "files", "headers"}
    | {"input_data", "source", "stdin", "stdout", "stderr", "argv", "payload"}
)
_SHAPES: Final = (
    (re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), REDACTED),
    (re.compile(r"\b(?:hitl|executor|exec)_[a-z]+_[A-Za-z0-9_-]{16,}"), REDACTED),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{8,}|\bxapp-[A-Za-z0-9-]{8,}"), REDACTED),
    (re.compile(r"\b\d{6,12}:[A-Za-z0-9_-]{30,}"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic|dpop)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {REDACTED}"),
    (
        re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
        REDACTED,
    ),
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+@"), f"{REDACTED}@"),
    (re.compile(r"\$argon2[a-z]{1,2}\$\S+"), REDACTED),
)


def redact_text(text: str) -> str:
    """Return the text without anything that has the shape of a credential."""
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def redact(value: object, *, name: str = "") -> object:
    """Return the value as it may be logged: secrets and programs replaced, long texts cut, whatever is inside
    too.
    """
    if name and (_SECRET_NAME.search(name) or name.lower() in _CONTENT_NAMES):
        return REDACTED
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        text = redact_text(value)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): redact(item, name=str(key)) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in cast("list[object]", value)]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact_text(str(value))
