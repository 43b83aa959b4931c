"""Identifiers that nobody can guess."""

from __future__ import annotations

import base64
import re
import secrets

RANDOM_BYTES = 16
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,15}\Z")


def new_identifier(prefix: str) -> str:
    """Return `prefix_` and 128 random bits in lower-case base32: `req_mzxw6ytboi4hk3dqnrswc5dfoi`.

    Raises ValueError when the prefix is not 1 to 16 lower-case letters and digits.
    """
    if not _PREFIX.match(prefix):
        raise ValueError(f"an identifier's prefix is 1 to 16 lower-case letters and digits, not {prefix!r}")
    random = base64.b32encode(secrets.token_bytes(RANDOM_BYTES)).decode("ascii")
    return f"{prefix}_{random.rstrip('=').lower()}"
