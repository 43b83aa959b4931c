"""The append-only log of everything that a server did, chained by hashes and signed from time to time.

An entry is part of the transaction of the act it describes: either both are durable or neither happened.
Every `checkpoint_every` entries, and when the log is closed, the head is signed; the signature goes into the
database and, after the commit, into the witness. A database that is behind its witness was put back to an
earlier state: nothing may be added to it, because what it has forgotten (a spent token, a denial) would
happen again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import JsonValue
from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import (
    AuditEntry,
    Checkpoint,
    checkpoint_is_signed,
    checkpoint_to_json,
    entry_to_json,
    genesis_hash,
    seal_entry,
    sign_checkpoint,
)
from hitl_contract.audit_verification import ChainReport
from hitl_contract.canonical import canonical_json
from hitl_contract.errors import CanonicalizationError
from hitl_contract.keys import PublicKeys
from server_kit.audit_checking import verify_records
from server_kit.audit_courier import WitnessCourier, WitnessState
from server_kit.audit_records import AuditRecords
from server_kit.audit_tables import AuditTables, audit_tables
from server_kit.audit_witness import Witness
from server_kit.clock import Clock, SystemClock
from server_kit.database.base import Database
from server_kit.database.fixed_statement import FixedStatement
from server_kit.database.row_insert import RowInsert
from server_kit.errors import AuditUnavailable, DatabaseUnavailable

__all__ = ["AuditLog", "AuditTables", "audit_tables"]


class AuditLog(AuditRecords):
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
        courier: WitnessCourier | None = None,
        segments: Path | None = None,
        checkpoint_every: int = 256,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(database=database, tables=tables, chain=chain)
        self.segment_directory = segments
        self._private_key = private_key
        self._key_id = key_id
        self._witness = None if witness is None else Witness(witness)
        self._courier = courier
        self._witnessed: Checkpoint | None = None
        self._witness_compared = False
        self._checkpoint_every = checkpoint_every
        self._clock: Clock = clock or SystemClock()
        self._checkpointing: asyncio.Task[None] | None = None
        self._unsigned = False
        entries, marks = tables.entries, tables.checkpoints
        self._insert_entry = RowInsert(insert(entries))
        self._insert_checkpoint = insert(marks)
        self._select_head = FixedStatement(
            select(entries.c.sequence, entries.c.entry_hash).order_by(entries.c.sequence.desc()).limit(1)
        )
        self._select_hash = select(entries.c.entry_hash).where(entries.c.sequence == bindparam("wanted"))
        self._select_last_checkpoint = select(marks).order_by(marks.c.sequence.desc()).limit(1)
        self._count_checkpoints = select(func.count()).select_from(marks)

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
            if self._courier is not None:
                await self._courier.admit(sequence + 1)
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
            await self._insert_entry.execute(connection, row)
        except CanonicalizationError as error:
            raise AuditUnavailable(f"the audit entry {event!r} cannot be written: {error}") from error
        except DBAPIError as error:
            message = f"the audit entry {event!r} cannot be written: the database refused it"
            raise AuditUnavailable(message) from error
        self._unsigned = True
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
        if signed is None:
            return None
        if self._courier is not None:
            self._courier.send(signed)
        if self._witness is not None:
            await asyncio.to_thread(self._witness.append, signed)
            if self._witnessed is None or signed.sequence > self._witnessed.sequence:
                self._witnessed = signed
        return signed

    async def begin(self) -> None:
        """Look at the witness before anything is written. Raises AuditUnavailable or DatabaseUnavailable.

        What `append` refuses anyway stops the start here, where a person sees it.
        """
        self._unsigned = True
        await self._database.read(self._compare)
        last = await self._last_checkpoint()
        if self._courier is not None and last is not None:
            # What was signed just before the last stop may not have arrived.
            self._courier.send(last)

    async def close(self) -> None:
        """Sign what was not signed yet; who only read leaves the log alone.

        Raises AuditUnavailable or DatabaseUnavailable.
        """
        if self._checkpointing is not None:
            await asyncio.gather(self._checkpointing, return_exceptions=True)
        try:
            if self._unsigned:
                await self.checkpoint()
        finally:
            if self._courier is not None:
                await self._courier.close()

    async def start_new_witness(self, *, actor: str, reason: str) -> AuditEntry:
        """Go on with an empty witness, the old one set aside, and say so in the log.

        For a restored backup and for a witness that is lost: what the old one remembers is not compared any
        more. Raises AuditUnavailable or DatabaseUnavailable.
        """
        if self._witness is None:
            raise AuditUnavailable("this log has no witness file; set one first")
        suffix = self._now().replace(":", "").replace("-", "")
        kept = await asyncio.to_thread(self._witness.set_aside, suffix)
        self._witnessed, self._witness_compared = None, True
        details = {"reason": reason, "kept": None if kept is None else kept.name}
        entry = await self._database.write(
            lambda connection: self.append(
                connection, "audit.witness_started", actor=actor, subject=self.chain, details=details
            )
        )
        await self.checkpoint()
        return entry

    async def verify(self, keys: PublicKeys) -> ChainReport:
        """Check the whole chain against its checkpoints, its archived segments and the witness.

        Raises DatabaseUnavailable when the log cannot be read; whatever is wrong inside it is in the report.
        """
        return await verify_records(self, keys, witness=self._witness, segments=self.segment_directory)

    @property
    def public_keys(self) -> PublicKeys:
        """What verifies this log's checkpoints and segments."""
        return PublicKeys([self._private_key.public_key()])

    @property
    def witness_state(self) -> WitnessState | None:
        """How far behind the second place is; None when none is configured."""
        return None if self._courier is None else self._courier.state()

    async def reach_witness(self) -> WitnessState | None:
        """Send the last checkpoint to the second place once more, and tell how it stands; None without one.

        Raises DatabaseUnavailable.
        """
        last = await self._last_checkpoint()
        if self._courier is None:
            return None
        if last is not None:
            self._courier.send(last)
        return await self._courier.settle()

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")

    async def _head(self, connection: AsyncConnection) -> tuple[int, str]:
        row = await self._select_head.row(connection)
        return (0, genesis_hash(self.chain)) if row is None else (int(row.sequence), str(row.entry_hash))

    async def _compare(self, connection: AsyncConnection) -> None:
        await self._compare_with_witness(connection, (await self._head(connection))[0])

    async def _last_checkpoint(self) -> Checkpoint | None:
        marks = await self.checkpoints()
        return marks[-1] if marks else None

    async def _compare_with_witness(self, connection: AsyncConnection, head: int) -> None:
        """Refuse a database that has forgotten or rewritten what the witness remembers."""
        if self._witness is None:
            return
        if not self._witness_compared:
            marks = await asyncio.to_thread(self._witness.checkpoints)
            signed = int((await connection.execute(self._count_checkpoints)).scalar_one())
            if await asyncio.to_thread(self._witness.is_lost, signed):
                raise AuditUnavailable(self._witness.loss())
            last = max(marks, key=lambda mark: mark.sequence, default=None)
            if last is not None and head >= last.sequence:
                found = await connection.scalar(self._select_hash, {"wanted": last.sequence})
                if found != last.entry_hash:
                    raise AuditUnavailable(self._disagreement("has another entry", last.sequence))
            if last is None or head >= last.sequence:
                last = await self._make_up(connection, self._witness, last)
            self._witnessed = last
            self._witness_compared = True
        if self._witnessed is not None and head < self._witnessed.sequence:
            raise AuditUnavailable(self._disagreement(f"ends at {head}", self._witnessed.sequence))

    async def _make_up(
        self, connection: AsyncConnection, witness: Witness, last: Checkpoint | None
    ) -> Checkpoint | None:
        """Write down what a crash kept from the witness after its commit: this server's last checkpoint."""
        await asyncio.to_thread(witness.prepare)
        row = (await connection.execute(self._select_last_checkpoint)).mappings().one_or_none()
        if row is None or (last is not None and row["sequence"] <= last.sequence):
            return last
        stored = Checkpoint(**row)
        if not checkpoint_is_signed(stored, PublicKeys([self._private_key.public_key()])):
            return last
        await asyncio.to_thread(witness.append, stored)
        return stored

    def _disagreement(self, what: str, sequence: int) -> str:
        path = None if self._witness is None else self._witness.path
        return (
            f"the audit log {self.chain!r} {what} where the witness {path} remembers entry {sequence}: "
            "the database was rolled back or replaced; run `audit verify`, and only if that was intended run "
            "`audit new-witness`"
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
