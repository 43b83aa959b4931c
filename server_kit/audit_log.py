"""The append-only log of everything that a server did, chained by hashes and signed from time to time.

An entry is part of the transaction of the act it describes: either both are durable or neither happened.
Every `checkpoint_every` entries, and when the log is closed, the head is signed; the signature goes into the
database and, after the commit, into the witness. A database that is behind its witness was put back to an
earlier state: nothing may be added to it, because what it has forgotten (a spent token, a denial) would
happen again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import JsonValue
from sqlalchemy import RowMapping, bindparam, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import (
    AuditEntry,
    Checkpoint,
    checkpoint_to_json,
    entry_to_json,
    genesis_hash,
    seal_entry,
    sign_checkpoint,
)
from hitl_contract.audit_verification import ChainProblem, ChainProblemKind, ChainReport, verify_chain
from hitl_contract.canonical import canonical_json
from hitl_contract.errors import CanonicalizationError
from hitl_contract.keys import PublicKeys
from server_kit.audit_tables import AuditTables, audit_tables
from server_kit.audit_witness import Witness
from server_kit.clock import Clock, SystemClock
from server_kit.database.base import Database
from server_kit.errors import AuditUnavailable, DatabaseUnavailable

__all__ = ["AuditLog", "AuditTables", "audit_tables"]

PAGE_ENTRIES = 500


class AuditLog:
    """One server's chain. `append` belongs into the caller's `Database.write`; call `close` at shutdown."""

    def __init__(
        self,
        *,
        database: Database,
        tables: AuditTables,
        chain: str,
        private_key: Ed25519PrivateKey,
        key_id: str,
        witness: Path | None,
        checkpoint_every: int = 256,
        clock: Clock | None = None,
    ) -> None:
        self.chain = chain
        self._database = database
        self._private_key = private_key
        self._key_id = key_id
        self._witness = None if witness is None else Witness(witness)
        self._witnessed: Checkpoint | None = None
        self._witness_compared = False
        self._checkpoint_every = checkpoint_every
        self._clock: Clock = clock or SystemClock()
        self._checkpointing: asyncio.Task[None] | None = None
        entries, marks = tables.entries, tables.checkpoints
        self._insert_entry = insert(entries)
        self._insert_checkpoint = insert(marks)
        self._select_head = (
            select(entries.c.sequence, entries.c.entry_hash).order_by(entries.c.sequence.desc()).limit(1)
        )
        self._select_hash = select(entries.c.entry_hash).where(entries.c.sequence == bindparam("wanted"))
        self._select_last_checkpoint = select(marks.c.sequence).order_by(marks.c.sequence.desc()).limit(1)
        self._select_page = (
            select(entries).where(entries.c.sequence > bindparam("after")).order_by(entries.c.sequence)
        )
        self._select_tail = select(entries).order_by(entries.c.sequence.desc())
        self._select_checkpoints = select(marks).order_by(marks.c.sequence)

    async def append(
        self,
        connection: AsyncConnection,
        event: str,
        *,
        actor: str,
        subject: str,
        details: Mapping[str, JsonValue],
    ) -> AuditEntry:
        """Add an entry inside the transaction of `connection`.

        Raises AuditUnavailable: let it end the operation, the act must not happen.
        """
        try:
            sequence, previous_hash = await self._head(connection)
            await self._compare_with_witness(connection, sequence)
            entry = seal_entry(
                chain=self.chain,
                sequence=sequence + 1,
                at=self._now(),
                event=event,
                actor=actor,
                subject=subject,
                details=details,
                previous_hash=previous_hash,
            )
            row = {**entry_to_json(entry), "details": canonical_json(dict(details)).decode()}
            await connection.execute(self._insert_entry, row)
        except CanonicalizationError as error:
            raise AuditUnavailable(f"the audit entry {event!r} cannot be written: {error}") from error
        except DBAPIError as error:
            message = f"the audit entry {event!r} cannot be written: the database refused it"
            raise AuditUnavailable(message) from error
        if entry.sequence % self._checkpoint_every == 0:
            self._checkpoint_soon()
        return entry

    async def checkpoint(self) -> Checkpoint | None:
        """Sign the head durably, in database and witness; None when nothing came since the last time."""

        async def operation(connection: AsyncConnection) -> Checkpoint | None:
            sequence, entry_hash = await self._head(connection)
            await self._compare_with_witness(connection, sequence)
            last = (await connection.execute(self._select_last_checkpoint)).scalar_one_or_none()
            if sequence == 0 or (last is not None and last >= sequence):
                return None
            signed = sign_checkpoint(
                chain=self.chain,
                sequence=sequence,
                entry_hash=entry_hash,
                at=self._now(),
                private_key=self._private_key,
                key_id=self._key_id,
            )
            row = checkpoint_to_json(signed)
            del row["type"]
            await connection.execute(self._insert_checkpoint, row)
            return signed

        signed = await self._database.write(operation)
        if signed is not None and self._witness is not None:
            await asyncio.to_thread(self._witness.append, signed)
            if self._witnessed is None or signed.sequence > self._witnessed.sequence:
                self._witnessed = signed
        return signed

    async def close(self) -> None:
        """Sign what was not signed yet. Raises AuditUnavailable or DatabaseUnavailable."""
        if self._checkpointing is not None:
            await asyncio.gather(self._checkpointing, return_exceptions=True)
        await self.checkpoint()

    async def verify(self, keys: PublicKeys) -> ChainReport:
        """Check the whole chain against its checkpoints and the witness.

        Raises DatabaseUnavailable when the log cannot be read; whatever is wrong inside it is in the report.
        """
        marks = await self._checkpoints()
        unreadable: tuple[ChainProblem, ...] = ()
        witnessed: tuple[Checkpoint, ...] = ()
        if self._witness is not None:
            try:
                witnessed = await asyncio.to_thread(self._witness.checkpoints)
            except AuditUnavailable as error:
                unreadable = (ChainProblem(ChainProblemKind.BAD_SIGNATURE, 0, str(error)),)
        last = max(witnessed, key=lambda mark: mark.sequence, default=None)
        loop = asyncio.get_running_loop()
        report = await asyncio.to_thread(
            verify_chain,
            _pages_from_thread(self, loop),
            chain=self.chain,
            checkpoints=(*marks, *(mark for mark in witnessed if mark not in set(marks))),
            keys=keys,
            expected_head=None if last is None else (last.sequence, last.entry_hash),
        )
        return replace(report, problems=(*unreadable, *report.problems))

    async def export(self) -> AsyncIterator[dict[str, object]]:
        """Yield every entry in order, then every checkpoint: what `audit_export.verify_export` checks."""
        marks = await self._checkpoints()
        after = 0
        while page := await self.page(after):
            for entry in page:
                yield entry_to_json(entry)
            after = page[-1].sequence
        for mark in marks:
            yield checkpoint_to_json(mark)

    async def page(self, after: int, limit: int = PAGE_ENTRIES) -> list[AuditEntry]:
        """Return up to `limit` entries that follow the sequence number `after`."""
        statement = self._select_page.limit(limit)
        return await self._database.read(lambda connection: _entries(connection, statement, {"after": after}))

    async def tail(self, count: int) -> list[AuditEntry]:
        """Return the last `count` entries, oldest first."""
        statement = self._select_tail.limit(count)
        return (await self._database.read(lambda connection: _entries(connection, statement, {})))[::-1]

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")

    async def _head(self, connection: AsyncConnection) -> tuple[int, str]:
        row = (await connection.execute(self._select_head)).one_or_none()
        return (0, genesis_hash(self.chain)) if row is None else (int(row.sequence), str(row.entry_hash))

    async def _compare_with_witness(self, connection: AsyncConnection, head: int) -> None:
        """Refuse a database that has forgotten or rewritten what the witness remembers."""
        if self._witness is None:
            return
        if not self._witness_compared:
            marks = await asyncio.to_thread(self._witness.checkpoints)
            last = max(marks, key=lambda mark: mark.sequence, default=None)
            if last is not None and head >= last.sequence:
                found = await connection.scalar(self._select_hash, {"wanted": last.sequence})
                if found != last.entry_hash:
                    raise AuditUnavailable(self._disagreement("has another entry", last.sequence))
            self._witnessed = last
            self._witness_compared = True
        if self._witnessed is not None and head < self._witnessed.sequence:
            raise AuditUnavailable(self._disagreement(f"ends at {head}", self._witnessed.sequence))

    def _disagreement(self, what: str, sequence: int) -> str:
        path = None if self._witness is None else self._witness.path
        return (
            f"the audit log {self.chain!r} {what} where the witness {path} remembers entry {sequence}: "
            "the database was rolled back or replaced; run 'audit verify', and move the witness away only "
            "if that was intended"
        )

    def _checkpoint_soon(self) -> None:
        if self._checkpointing is None or self._checkpointing.done():
            self._checkpointing = asyncio.create_task(self._checkpoint_or_leave_it(), name="audit checkpoint")

    async def _checkpoint_or_leave_it(self) -> None:
        try:
            await self.checkpoint()
        except (AuditUnavailable, DatabaseUnavailable, DBAPIError):
            # The next one covers these entries too; append itself refuses when the log cannot be written.
            return

    async def _checkpoints(self) -> tuple[Checkpoint, ...]:
        async def operation(connection: AsyncConnection) -> tuple[Checkpoint, ...]:
            rows = await connection.execute(self._select_checkpoints)
            return tuple(Checkpoint(**row) for row in rows.mappings())

        return await self._database.read(operation)


def _pages_from_thread(log: AuditLog, loop: asyncio.AbstractEventLoop) -> Iterator[AuditEntry]:
    """Yield all entries in a thread while the loop reads them page by page: any number fits into memory."""
    after = 0
    while page := asyncio.run_coroutine_threadsafe(log.page(after), loop).result():
        yield from page
        after = page[-1].sequence


async def _entries(
    connection: AsyncConnection, statement: Any, parameters: Mapping[str, int]
) -> list[AuditEntry]:
    return [_entry(row) for row in (await connection.execute(statement, parameters)).mappings()]


def _entry(row: RowMapping) -> AuditEntry:
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    try:
        fields["details"] = json.loads(fields["details"])
    except ValueError:
        # Somebody edited it: kept as it is, so that verification finds it and an export shows it.
        fields["details"] = {"unreadable": fields["details"]}
    return AuditEntry(**fields)
