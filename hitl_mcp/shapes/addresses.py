"""Addresses of the web that every reader takes for the same place; others are refused, never repaired.

Refused are user names in front of the host, capitals or non-ASCII letters in the host, a final dot, escapes,
parameters and `..` in the path, backslashes and fragments: each is read in more than one way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ADDRESS: Final = re.compile(
    r"(?P<origin>https?://[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[1-9][0-9]{0,4})?)"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,=:@/-]*)"
    r"(?:\?(?P<query>[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class PlainAddress:
    """Scheme, host and port as one text; the parts of the path; the query, None when there is none."""

    origin: str
    parts: tuple[str, ...]
    query: str | None


def plain_address(url: str) -> PlainAddress | None:
    """The pieces of a plain address; None when it is not plain."""
    found = _ADDRESS.fullmatch(url)
    if found is None or ".." in found["origin"]:
        return None
    parts = tuple(found["path"].split("/")[1:])
    if any(part in {".", ".."} for part in parts) or any(not part for part in parts[:-1]):
        return None
    return PlainAddress(found["origin"], parts, found["query"])


def is_under(url: str, prefix: str, query: str | None) -> bool:
    """Whether `url` is below the folder `prefix` (it ends in "/"), with exactly this query."""
    address, folder = plain_address(url), plain_address(prefix)
    if address is None or folder is None or folder.query is not None or folder.parts[-1] != "":
        return False
    above = folder.parts[:-1]
    return (
        address.origin == folder.origin
        and address.query == query
        and len(address.parts) > len(above)
        and address.parts[: len(above)] == above
    )
