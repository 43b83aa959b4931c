"""Names of agents and people: what may be one, and the folded form under which they are kept."""

from __future__ import annotations

import re
from typing import Final

from hitl_contract.display import safe_text
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.errors import NameRefused

MAX_NAME_CHARACTERS: Final = 64
_AGENT_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?\Z")
_PUNCTUATION_IN_NAMES: Final = frozenset("._@+-' ")


def checked_agent_name(name: str) -> str:
    """The name itself.

    Raises:
        NameRefused: it is not 1 to 64 ASCII letters, digits, or `. _ @ + -` in between.
    """
    if not _AGENT_NAME.match(name):
        raise NameRefused(
            f'"{safe_text(name[:80])}" cannot be an agent\'s name: use 1 to {MAX_NAME_CHARACTERS} '
            "letters (a-z) and digits, with . _ @ + - in between."
        )
    return name


def checked_person_id(name: str) -> str:
    """The id of the person called `name`: the name folded, so that every spelling of it is one person.

    Raises:
        NameRefused: it is empty or too long, or has other than letters, digits, space and `. _ @ + - '`.
    """
    person = person_key(name)
    if (
        not person
        or len(person) > MAX_NAME_CHARACTERS
        or not all(character.isalnum() or character in _PUNCTUATION_IN_NAMES for character in person)
        or not any(character.isalnum() for character in person)
    ):
        raise NameRefused(
            f'"{safe_text(name[:80])}" cannot be a person\'s name: use 1 to {MAX_NAME_CHARACTERS} '
            "letters, digits, spaces and . _ @ + - ' in it."
        )
    return person
