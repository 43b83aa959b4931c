"""Credentials that machines keep: an agent's API key and a person's session token. Stored as digests only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

AGENT_KEY_PREFIX: Final = "hitl_agent_"
SESSION_TOKEN_PREFIX: Final = "hitl_session_"  # noqa: S105 - a prefix, not a secret

_KEY_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 32
_AGENT_KEY: Final = re.compile(rf"{AGENT_KEY_PREFIX}([a-z2-7]{{16}})_([a-z2-7]{{52}})\Z")
_SESSION_TOKEN: Final = re.compile(rf"{SESSION_TOKEN_PREFIX}[a-z2-7]{{52}}\Z")


@dataclass(frozen=True, slots=True)
class AgentKey:
    """An API key: `text` is shown once, `key_id` finds its row, `digest` is what is stored."""

    text: str = field(repr=False)
    key_id: str
    digest: str = field(repr=False)


def new_agent_key() -> AgentKey:
    """A key with 256 random bits: a plain SHA-256 of it cannot be searched, so no slow hash is needed."""
    key_id = _base32(secrets.token_bytes(_KEY_ID_BYTES))
    text = f"{AGENT_KEY_PREFIX}{key_id}_{_base32(secrets.token_bytes(_SECRET_BYTES))}"
    return AgentKey(text=text, key_id=key_id, digest=digest(text))


def parse_agent_key(text: str) -> AgentKey | None:
    """The key that `text` is, or None when it has not the form of one."""
    match = _AGENT_KEY.match(text)
    return AgentKey(text=text, key_id=match.group(1), digest=digest(text)) if match else None


def new_session_token() -> str:
    """A bearer token with 256 random bits."""
    return SESSION_TOKEN_PREFIX + _base32(secrets.token_bytes(_SECRET_BYTES))


def is_session_token(text: str) -> bool:
    """Whether `text` has the form of a session token."""
    return _SESSION_TOKEN.match(text) is not None


def digest(text: str) -> str:
    """SHA-256 of a random credential, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare without telling by time where two strings differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
