"""The chain of changes to identity: which sealed row is the newest of each kind and key. Pure.

A seal alone cannot show that a row was set back to an older form, or deleted. Each change therefore also
makes a link: a MAC over its number, the link before it, the row's key and its new seal (None when the row is
gone). Who writes the database without the key can neither forge a link, nor take one out of the middle, nor
repeat one. A chain that was cut at its end is shorter than what a process, or the anchor outside the
database, remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from hitl_mcp.identity.ports import RowSealer

START: Final = "start"
_KIND: Final = "identity_change"


@dataclass(frozen=True, slots=True)
class Change:
    """The `number`th change, counted from 1: the row `key` of `kind` has this seal from now on.

    After `expires_at` the row means nothing any more, with or without this change.
    """

    number: int
    kind: str
    key: str
    seal: str | None
    expires_at: datetime | None
    link: str


@dataclass(frozen=True, slots=True)
class Newest:
    """What the register has last been told of a row."""

    number: int
    seal: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class RegisterState:
    """Everything up to the change `number`, whose link is `link`."""

    number: int = 0
    link: str = START
    newest: Mapping[tuple[str, str], Newest] = field(default_factory=dict[tuple[str, str], Newest])

    def of(self, kind: str, key: str) -> Newest | None:
        """The newest change of this row; None when it was never registered."""
        return self.newest.get((kind, key))


class ChainBroken(Exception):
    """The stored changes do not continue what is known; `str()` says how."""


def next_change(
    state: RegisterState,
    sealer: RowSealer,
    *,
    kind: str,
    key: str,
    seal: str | None,
    expires_at: datetime | None = None,
) -> Change:
    """The change that comes after `state`."""
    number = state.number + 1
    link = sealer.seal(_KIND, _fields(number, state.link, kind, key, seal, expires_at))
    return Change(number, kind, key, seal, expires_at, link)


def advanced(
    state: RegisterState, sealer: RowSealer, stored: Iterable[Change], now: datetime
) -> RegisterState:
    """`state` after the stored changes from its own number on; the first of them is its last known one.

    Raises:
        ChainBroken: a change was altered, left out or forged, or the chain ends before what is known.
    """
    changes = iter(stored)
    if state.number:
        known = next(changes, None)
        if known is None or known.number != state.number:
            raise ChainBroken(f"change {state.number} is gone")
        if known.link != state.link:
            raise ChainBroken(f"change {state.number} is not the one that was there")
    first = next(changes, None)
    if first is None:
        return state
    newest = {
        row: last for row, last in state.newest.items() if last.expires_at is None or last.expires_at > now
    }
    number, link = state.number, state.link
    for change in (first, *changes):
        number += 1
        fields = _fields(number, link, change.kind, change.key, change.seal, change.expires_at)
        if change.number != number:
            raise ChainBroken(f"change {number} is missing")
        if not sealer.holds(_KIND, fields, change.link):
            raise ChainBroken(f"change {number} was not made by this server")
        link = change.link
        if change.expires_at is None or change.expires_at > now:
            newest[change.kind, change.key] = Newest(number, change.seal, change.expires_at)
    return RegisterState(number, link, newest)


def _fields(
    number: int, previous: str, kind: str, key: str, seal: str | None, expires_at: datetime | None
) -> dict[str, object]:
    return {
        "number": number,
        "previous": previous,
        "kind": kind,
        "key": key,
        "seal": seal,
        "expires_at": None
        if expires_at is None
        else expires_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
