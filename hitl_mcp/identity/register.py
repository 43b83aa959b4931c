"""The register of identity: the one door through which sealed rows of identity are read and written.

A row counts only when all of these hold, and is as good as absent otherwise:

1. its seal holds: this server wrote it as it stands;
2. the chain of changes is unbroken, and not behind what this process, or the anchor outside the database,
   remembers (`IdentityRolledBack` refuses everybody otherwise);
3. the newest change of its key names this seal: it was not set back to an older form, nor put back after its
   removal.

Rows that fail 3, and rows that are missing although 3 names them, are recorded in the audit log. Every change
is written together with its audit entry, which names the change and its link.

The first access to an empty register registers the rows of an earlier release that pass 1. It is refused when
the anchor or the audit log shows that there was a register before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.errors import IdentityRolledBack
from hitl_mcp.identity.ports import AuditTrail, RowSealer
from hitl_mcp.identity.register_anchor import AnchorMark, RegisterAnchor
from hitl_mcp.identity.register_chain import (
    ChainBroken,
    Change,
    Newest,
    RegisterState,
    advanced,
    next_change,
)
from hitl_mcp.identity.registered_tables import REGISTERED, SEALED_ALONE
from hitl_mcp.identity.sealed_rows import SealedRows
from hitl_mcp.storage.schema import identity_changes
from server_kit.clock import Clock
from server_kit.database.base import Database

T = TypeVar("T")
SUBJECT: Final = "identity-register"
_OPENED: Final = "identity.register_opened"
_ROW_REFUSED: Final = "identity.row_refused"
_ENDED: Final = "ended-session"
_EPOCH: Final = "session-epoch"
_MANY_CHANGES: Final = 1000
_REMEMBERED: Final = 1000
_CHANGES_SINCE: Final = (
    select(identity_changes)
    .where(identity_changes.c.number >= bindparam("known"))
    .order_by(identity_changes.c.number)
)


class Reading:
    """One consistent view of identity: only rows that count come out of it."""

    def __init__(
        self, connection: AsyncConnection, rows: Mapping[str, SealedRows], state: RegisterState
    ) -> None:
        self.connection = connection
        self.refused: set[tuple[str, str, str]] = set()
        self._rows = rows
        self._state = state

    @property
    def number(self) -> int:
        """The number of the last registered change in this view."""
        return self._state.number

    async def one(self, table: Table, **key: Any) -> Row[Any] | None:
        """The row with this primary key, when there is one that counts."""
        rows = self._rows[table.name]
        row = (await self.connection.execute(select(table).where(rows.is_row(key)))).first()
        if row is None:
            newest = self._state.of(rows.kind, rows.key_of(key))
            if newest is not None and newest.seal is not None:
                self.refused.add((rows.kind, rows.key_of(key), "missing"))
            return None
        return row if self._counts(rows, row) else None

    async def many(
        self, table: Table, *conditions: ColumnElement[bool], order_by: Any = None
    ) -> list[Row[Any]]:
        """The rows that meet the conditions and count."""
        statement = select(table).where(*conditions).order_by(order_by)
        rows = self._rows[table.name]
        found = (await self.connection.execute(statement)).all()
        return [row for row in found if self._counts(rows, row)]

    def session_ended(self, token_hash: str) -> bool:
        """Whether this session was ended by signing out."""
        return self._state.of(_ENDED, token_hash) is not None

    def session_epoch(self, person_id: str) -> int | None:
        """The change that last ended all sessions of this person; None when none did."""
        newest = self._state.of(_EPOCH, person_id)
        return None if newest is None else newest.number

    def _counts(self, rows: SealedRows, row: Row[Any]) -> bool:
        if not rows.holds(row):
            return False
        if rows.table in SEALED_ALONE:
            return True
        newest = self._state.of(rows.kind, rows.key_of_row(row))
        if newest is not None and newest.seal == row.seal:
            return True
        self.refused.add(
            (rows.kind, rows.key_of_row(row), "set back" if newest and newest.seal else "removed")
        )
        return False


class Changing(Reading):
    """A view in which rows are written, inside one transaction. Each change needs an audit entry after it."""

    def __init__(
        self,
        connection: AsyncConnection,
        rows: Mapping[str, SealedRows],
        state: RegisterState,
        *,
        sealer: RowSealer,
        audit: AuditTrail,
        now: datetime,
    ) -> None:
        super().__init__(connection, rows, state)
        self.now = now
        self._sealer = sealer
        self._audit = audit
        self._newest = dict(state.newest)
        self._unaudited: list[Change] = []

    async def put(self, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write a whole row, over whatever has its key, and return it with its seal."""
        rows = self._rows[table.name]
        sealed = rows.sealed(values)
        there = rows.is_row(sealed)
        if (await self.connection.execute(select(table.c.seal).where(there))).first() is None:
            await self.connection.execute(insert(table).values(**sealed))
        else:
            await self.connection.execute(update(table).where(there).values(**sealed))
        if table not in SEALED_ALONE:
            await self._register(rows.kind, rows.key_of(sealed), sealed["seal"])
        return sealed

    async def change(self, table: Table, row: Row[Any], **changes: Any) -> None:
        """Change some values of a stored row."""
        await self.put(table, {**self._rows[table.name].values_of(row), **changes})

    async def remove(self, table: Table, row: Row[Any]) -> None:
        """Delete a row, for good: put back past the server it does not count."""
        rows = self._rows[table.name]
        await self.connection.execute(delete(table).where(rows.is_row(rows.values_of(row))))
        await self._register(rows.kind, rows.key_of_row(row), None)

    async def end_session(self, token_hash: str, expires_at: datetime) -> None:
        """Make one session worthless."""
        await self._register(_ENDED, token_hash, None, expires_at)

    async def end_sessions_of(self, person_id: str) -> None:
        """Make every session of a person worthless that was opened before now."""
        await self._register(_EPOCH, person_id, None)

    async def audit(
        self, event: str, *, actor: str, subject: str, details: Mapping[str, JsonValue] | None = None
    ) -> None:
        """Write the entry of the act whose changes came before."""
        changes: list[JsonValue] = [
            {"number": each.number, "kind": each.kind, "key": each.key, "seal": each.seal, "link": each.link}
            for each in self._unaudited
        ]
        self._unaudited.clear()
        more: dict[str, JsonValue] = {"changes": changes} if changes else {}
        await self._audit.append(
            self.connection, event, actor=actor, subject=subject, details={**(details or {}), **more}
        )

    def require_audited(self) -> None:
        """Raise RuntimeError when a change has no audit entry: a defect of the caller."""
        if self._unaudited:
            raise RuntimeError("a change of identity was written without an audit entry")

    async def open_register(self) -> None:
        """Start the chain, with every row of an earlier release that its seal finds intact."""
        if await self._audit.about(self.connection, SUBJECT, (_OPENED,)):
            raise IdentityRolledBack("its changes are gone, and the audit log knows that there were some")
        await self._register(SUBJECT, "", None)
        for table in REGISTERED:
            rows = self._rows[table.name]
            for row in (await self.connection.execute(select(table))).all():
                if rows.holds(row):
                    await self._register(rows.kind, rows.key_of_row(row), row.seal)
        await self.audit(_OPENED, actor="server", subject=SUBJECT)

    async def _register(
        self, kind: str, key: str, seal: str | None, expires_at: datetime | None = None
    ) -> None:
        change = next_change(self._state, self._sealer, kind=kind, key=key, seal=seal, expires_at=expires_at)
        await self.connection.execute(
            insert(identity_changes).values(
                number=change.number,
                kind=kind,
                row_key=key,
                row_seal=seal,
                expires_at=expires_at,
                at=self.now,
                link=change.link,
            )
        )
        self._newest[kind, key] = Newest(change.number, seal, expires_at)
        self._state = RegisterState(change.number, change.link, self._newest)
        self._unaudited.append(change)


class IdentityRegister:
    """Reads and changes identity. One per process and database; `anchor` is the file, None for no memory."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: RowSealer,
        audit: AuditTrail,
        clock: Clock,
        anchor: RegisterAnchor | None,
    ) -> None:
        self.clock = clock
        self._database = database
        self._sealer = sealer
        self._audit = audit
        self._anchor = anchor
        self._rows = {table.name: SealedRows(table, sealer) for table in (*REGISTERED, *SEALED_ALONE)}
        # Holds committed changes only, and never goes back.
        self._state = RegisterState()
        self._anchored = 0
        self._anchor_compared = anchor is None
        self._reported: set[tuple[str, str, str]] = set()
        self._answered: dict[tuple[str, str], tuple[int, Any]] = {}

    @property
    def state(self) -> RegisterState:
        """What this process has seen of the register; as new as the last read or write. Costs nothing."""
        return self._state

    async def read(self, operation: Callable[[Reading], Awaitable[T]]) -> T:
        """Run `operation` on one consistent snapshot.

        Raises:
            IdentityRolledBack: the register is not as this server left it.
            DatabaseUnavailable: nothing could be read.
        """
        result, reading = await self._read(operation)
        if self._state.number == 0:
            await self.write(_nothing)
            result, reading = await self._read(operation)
        await self._report(reading.refused)
        return result

    async def read_again(
        self, question: tuple[str, str], operation: Callable[[Reading], Awaitable[T | None]]
    ) -> T | None:
        """Like `read`, for what depends on registered rows alone: its answer holds until the chain of changes
        has grown. None is looked up every time.
        """

        async def find(reading: Reading) -> T | None:
            answered = self._answered.get(question)
            if answered is not None and answered[0] == reading.number:
                return answered[1]
            result = await operation(reading)
            if result is not None and len(self._answered) < _REMEMBERED:
                self._answered[question] = (reading.number, result)
            return result

        return await self.read(find)

    async def write(self, operation: Callable[[Changing], Awaitable[T]]) -> T:
        """Run `operation` in one transaction; it may run more than once. Returns when it is durable.

        Raises:
            IdentityRolledBack, DatabaseUnavailable, AuditUnavailable: nothing was changed.
        """
        refused: set[tuple[str, str, str]] = set()

        async def store(connection: AsyncConnection) -> T:
            state = await self._current(connection, self._state)
            changing = Changing(
                connection,
                self._rows,
                state,
                sealer=self._sealer,
                audit=self._audit,
                now=self.clock.now(),
            )
            if state.number == 0:
                await changing.open_register()
            try:
                result = await operation(changing)
            finally:
                refused.update(changing.refused)
            changing.require_audited()
            return result

        try:
            result = await self._database.write(store)
        finally:
            await self._report(refused)
        # What was just changed must be remembered before anybody acts on it.
        await self._read(_nothing)
        return result

    async def _read(self, operation: Callable[[Reading], Awaitable[T]]) -> tuple[T, Reading]:
        # Taken before the snapshot begins: a snapshot has everything that was committed by then.
        known = self._state

        async def find(connection: AsyncConnection) -> tuple[T, Reading, RegisterState]:
            state = await self._current(connection, known)
            reading = Reading(connection, self._rows, state)
            return await operation(reading), reading, state

        result, reading, state = await self._database.read(find)
        if state.number > self._state.number:
            self._state = state
        await self._move_anchor()
        return result, reading

    async def _current(self, connection: AsyncConnection, known: RegisterState) -> RegisterState:
        """The state that the database is in, checked against what is known."""
        stored = (await connection.execute(_CHANGES_SINCE, {"known": known.number})).all()
        changes = [
            Change(row.number, row.kind, row.row_key, row.row_seal, row.expires_at, row.link)
            for row in stored
        ]
        if not self._anchor_compared:
            await self._compare_with_anchor(changes)
        try:
            if len(changes) < _MANY_CHANGES:
                return advanced(known, self._sealer, changes, self.clock.now())
            # The first access of a process checks the whole chain: some 30 ms for a thousand changes.
            return await asyncio.to_thread(advanced, known, self._sealer, changes, self.clock.now())
        except ChainBroken as broken:
            raise IdentityRolledBack(str(broken)) from None

    async def _compare_with_anchor(self, changes: list[Change]) -> None:
        assert self._anchor is not None
        mark = await asyncio.to_thread(self._anchor.read)
        if mark is not None:
            found = next((each.link for each in changes if each.number == mark.number), None)
            if found != mark.link:
                last = changes[-1].number if changes else 0
                raise IdentityRolledBack(
                    f"it ends at change {last} where {self._anchor.path.name} remembers {mark.number}"
                    if found is None
                    else f"change {mark.number} is not the one that {self._anchor.path.name} remembers"
                )
            self._anchored = mark.number
        self._anchor_compared = True

    async def _move_anchor(self) -> None:
        state = self._state
        if self._anchor is not None and state.number > self._anchored:
            await asyncio.to_thread(self._anchor.advance, AnchorMark(state.number, state.link))
            self._anchored = max(self._anchored, state.number)

    async def _report(self, refused: set[tuple[str, str, str]]) -> None:
        """Record rows that were found set back or missing, each once per process."""
        new = refused - self._reported
        if not new:
            return
        self._reported |= new

        async def record(connection: AsyncConnection) -> None:
            for kind, key, found in sorted(new):
                await self._audit.append(
                    connection,
                    _ROW_REFUSED,
                    actor="server",
                    subject=SUBJECT,
                    details={"kind": kind, "key": key, "found": found},
                )

        await self._database.write(record)


async def _nothing(_: Reading) -> None:
    return None
