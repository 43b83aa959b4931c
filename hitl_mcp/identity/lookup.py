"""Finds people by any spelling of their name, within one view of identity."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from hitl_contract.display import safe_text
from hitl_mcp.errors import NameRefused, UnknownPerson
from hitl_mcp.identity.names import checked_person_id
from hitl_mcp.identity.register import Reading
from hitl_mcp.storage.schema import people

NOBODY: Final = "(nobody's name)"
"""What stands for every name that nobody can have, such as one with control characters."""


def key_of(person: str) -> str:
    """The id that this spelling of a name stands for."""
    try:
        return checked_person_id(person)
    except NameRefused:
        # Some of what cannot be a name cannot be sent to a database either, or would disfigure the log.
        return NOBODY


async def find_person(reading: Reading, person: str) -> Row[Any] | None:
    """The person's row, suspended or not."""
    key = key_of(person)
    return None if key == NOBODY else await reading.one(people, person_id=key)


async def active_person(reading: Reading, person: str) -> Row[Any] | None:
    """The person's row, when not suspended."""
    row = await find_person(reading, person)
    return row if row is not None and row.suspended_at is None else None


async def require_person(reading: Reading, person: str) -> Row[Any]:
    """
    Raises:
        UnknownPerson: nobody has this name.
    """
    row = await find_person(reading, person)
    if row is None:
        raise UnknownPerson(f'There is no person called "{safe_text(person[:80])}". See: hitl people list')
    return row
