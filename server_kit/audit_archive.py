"""Retention: moving the oldest part of an audit log, whole, out of the database into sealed segment files.

Nothing is edited and nothing is lost: a segment's file has the entries and checkpoints byte for byte as an
export has them, and its record, signed by the log's own key, says which entries these are and what digest the
file has. The record stands in the database, beside the file, and in the log itself.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import checkpoint_to_json, genesis_hash, sign_checkpoint
from hitl_contract.audit_segments import SegmentClaim, SegmentRecord, segment_to_json, sign_segment
from hitl_contract.canonical import DIGEST_PREFIX, base64url_encode
from hitl_contract.keys import PublicKeys
from server_kit.audit_log import AuditLog
from server_kit.audit_records import line_of
from server_kit.audit_tables import AuditTables
from server_kit.audit_verifier.chain import ChainVerifier
from server_kit.audit_verifier.encoding import blocks_of, lines_of
from server_kit.audit_verifier.signatures import Keys
from server_kit.clock import Clock
from server_kit.database.base import Database
from server_kit.durable_files import replace_durably
from server_kit.errors import AuditUnavailable

SEGMENT_ENTRIES: Final = 50_000
"""Most entries of one segment: deleting them must not hold the database's writer for long."""
ARCHIVED: Final = "audit.segment_archived"

Hold = Callable[[AsyncConnection], Awaitable[int | None]]
"""Returns the sequence number of the first entry that something still needs in the database, if any."""


class AuditArchive:
    """Archives one log's oldest entries. `holds` are asked what has to stay."""

    def __init__(
        self,
        *,
        log: AuditLog,
        database: Database,
        tables: AuditTables,
        private_key: Ed25519PrivateKey,
        key_id: str,
        directory: Path,
        holds: Sequence[Hold],
        clock: Clock,
        segment_entries: int = SEGMENT_ENTRIES,
    ) -> None:
        self._log = log
        self._database = database
        self._tables = tables
        self._private_key = private_key
        self._key_id = key_id
        self._directory = directory
        self._holds = holds
        self._clock = clock
        self._segment_entries = segment_entries

    async def archive(self, *, before: datetime, actor: str) -> tuple[SegmentRecord, ...]:
        """Archive what is older than `before` and needed by nothing; returns the new segments' records.

        For each segment:

        1. Its end is the last entry before the time, the first one held, and the segment's largest size; the
           log's last entry always stays.
        2. Its entries and checkpoints are written to a file, which ends with a checkpoint of its last entry.
        3. The file is read back and verified as a stranger would: every hash, from the end of the segment
           before to its own end.
        4. Its record is signed and put beside the file; both are on the disk.
        5. In one transaction: nothing has changed since 1, the record goes into the database and, as an
           entry, into the log, and the rows leave.

        Raises:
            AuditUnavailable: the log is not in order, or a file cannot be written; nothing left the database.
            DatabaseUnavailable: the same.
        """
        done: list[SegmentRecord] = []
        while (end := await self._database.read(lambda c: self._end(c, before))) is not None:  # 1
            done.append(await self._archive_one(end, before, actor))
        return tuple(done)

    async def _archive_one(self, end: tuple[int, str], before: datetime, actor: str) -> SegmentRecord:
        through, last_hash = end
        start = await self._start()
        name = f"{self._log.chain}-{start[0] + 1:012}-{through:012}.jsonl.gz"
        path = self._directory / name
        lines = [line async for line in self._log.lines(through=through)]
        try:
            digest = await asyncio.to_thread(self._write, path, [*lines, self._mark(through, last_hash)])  # 2
            count = await asyncio.to_thread(self._check, path, start, end)  # 3
            claim = SegmentClaim(
                chain=self._log.chain,
                first_sequence=start[0] + 1,
                last_sequence=through,
                previous_hash=start[1],
                last_hash=last_hash,
                entries=count,
                file_name=name,
                file_digest=digest,
                at=self._now(),
                key_id=self._key_id,
            )
            record = sign_segment(claim, self._private_key)  # 4
            proof = json.dumps(segment_to_json(record), indent=2) + "\n"
            await asyncio.to_thread(replace_durably, path.with_name(f"{name}.proof.json"), proof.encode())
        except OSError as error:
            message = f"the segment {path} cannot be written ({error.strerror}); nothing was archived"
            raise AuditUnavailable(message) from error
        await self._database.write(lambda connection: self._leave(connection, record, before, actor))  # 5
        return record

    async def _leave(
        self, connection: AsyncConnection, record: SegmentRecord, before: datetime, actor: str
    ) -> None:
        """The only place where entries are deleted."""
        if await self._end(connection, before) != (record.last_sequence, record.last_hash):
            raise AuditUnavailable("the log changed while a segment was made of it; nothing was archived")
        row = segment_to_json(record)
        await connection.execute(
            insert(self._tables.segments), {name: value for name, value in row.items() if name != "type"}
        )
        await self._log.append(connection, ARCHIVED, actor=actor, subject=record.file_name, details=row)
        for table in (self._tables.entries, self._tables.checkpoints):
            await connection.execute(delete(table).where(table.c.sequence <= record.last_sequence))

    async def _end(self, connection: AsyncConnection, before: datetime) -> tuple[int, str] | None:
        entries, segments = self._tables.entries, self._tables.segments
        archived = int(
            await connection.scalar(select(func.coalesce(func.max(segments.c.last_sequence), 0))) or 0
        )
        head = int(await connection.scalar(select(func.coalesce(func.max(entries.c.sequence), 0))) or 0)
        limits = [head - 1, archived + self._segment_entries]
        first_kept = await connection.scalar(
            select(func.min(entries.c.sequence)).where(entries.c.at >= _text(before))
        )
        if first_kept is not None:
            limits.append(int(first_kept) - 1)
        limits += [held - 1 for hold in self._holds if (held := await hold(connection)) is not None]
        if min(limits) <= archived:
            return None
        end = await connection.execute(
            select(entries.c.sequence, entries.c.entry_hash)
            .where(entries.c.sequence <= min(limits))
            .order_by(entries.c.sequence.desc())
            .limit(1)
        )
        row = end.one_or_none()
        return None if row is None else (int(row.sequence), str(row.entry_hash))

    async def _start(self) -> tuple[int, str]:
        records = await self._log.segments()
        if not records:
            return 0, genesis_hash(self._log.chain)
        return records[-1].last_sequence, records[-1].last_hash

    def _mark(self, sequence: int, entry_hash: str) -> bytes:
        mark = sign_checkpoint(
            chain=self._log.chain,
            sequence=sequence,
            entry_hash=entry_hash,
            at=self._now(),
            private_key=self._private_key,
            key_id=self._key_id,
        )
        return line_of(checkpoint_to_json(mark))

    def _write(self, path: Path, lines: Sequence[bytes]) -> str:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = gzip.compress(b"".join(lines), mtime=0)
        replace_durably(path, content)
        return DIGEST_PREFIX + base64url_encode(hashlib.sha256(content).digest())

    def _check(self, path: Path, start: tuple[int, str], end: tuple[int, str]) -> int:
        keys = Keys(PublicKeys([self._private_key.public_key()]).to_jwks())
        verifier = ChainVerifier(self._log.chain, keys, start=start, archived_part=True)
        for lines in blocks_of(path):
            verifier.feed(lines)
        report = verifier.finish(lambda: lines_of(path))
        if not report.intact or (report.head_sequence, report.head_hash) != end:
            problem = report.problems[0].message if report.problems else "it ends elsewhere"
            raise AuditUnavailable(
                f"the log is not in order and was not archived ({problem}); run `audit verify`"
            )
        return report.entries

    def _now(self) -> str:
        return _text(self._clock.now())


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
