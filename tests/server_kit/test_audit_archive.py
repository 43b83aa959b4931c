"""Retention: old entries leave the database whole, in sealed files, and nothing goes missing unnoticed."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_verification import ChainProblemKind, ChainReport
from hitl_contract.keys import PublicKeys, key_id
from server_kit.audit_archive import ARCHIVED, AuditArchive
from server_kit.audit_csv import csv_header, csv_line
from server_kit.audit_log import AuditLog
from server_kit.audit_records import AuditQuery
from server_kit.audit_tables import audit_tables
from server_kit.database.base import Database
from tests.conftest import ManualClock

metadata = MetaData()
tables = audit_tables(metadata)
private_key = Ed25519PrivateKey.generate()
KEYS = PublicKeys([private_key.public_key()])
KEY_ID = key_id(private_key.public_key())
DAY = 86_400


@dataclass
class House:
    """A log of one entry a day, and its archive."""

    log: AuditLog
    archive: AuditArchive
    database: Database
    clock: ManualClock
    segments: Path
    held: list[int]

    async def live(self, days: int, details: str = "") -> None:
        for number in range(days):
            await self.database.write(
                lambda connection, n=number: self.log.append(
                    connection, "thing.done", actor="alice", subject=f"thing {n}", details={"note": details}
                )
            )
            self.clock.advance(DAY)

    async def archive_all_but(self, days: int) -> int:
        before = self.clock.now() - timedelta(days=days)
        return len(await self.archive.archive(before=before, actor="operator"))

    async def report(self) -> ChainReport:
        return await self.log.verify(KEYS)

    async def kinds(self) -> set[ChainProblemKind]:
        return {problem.kind for problem in (await self.report()).problems}


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> House:
    async def create(connection: AsyncConnection) -> None:
        await connection.run_sync(metadata.create_all)

    await database.write(create)
    clock, held, segments = ManualClock(), list[int](), tmp_path / "segments"
    log = AuditLog(
        database=database,
        tables=tables,
        chain="test",
        private_key=private_key,
        key_id=KEY_ID,
        witness=tmp_path / "witness.jsonl",
        segments=segments,
        checkpoint_every=4,
        clock=clock,
    )

    async def hold(_: AsyncConnection) -> int | None:
        return min(held, default=None)

    archive = AuditArchive(
        log=log,
        database=database,
        tables=tables,
        private_key=private_key,
        key_id=KEY_ID,
        directory=segments,
        holds=(hold,),
        clock=clock,
        segment_entries=5,
    )
    return House(log, archive, database, clock, segments, held)


async def test_segments_and_live_entries_verify_as_one_log(house: House) -> None:
    await house.live(12)
    assert await house.archive_all_but(3) == 2
    left = await house.log.page(0)
    assert [entry.sequence for entry in left] == [10, 11, 12, 13, 14]
    assert [entry.event for entry in left[-2:]] == [ARCHIVED, ARCHIVED]
    await house.live(2)
    await house.log.close()
    report = await house.report()
    assert report.intact, report.problems
    assert (report.entries, report.segments, report.head_sequence) == (16, 2, 16)


async def test_archiving_again_goes_on_where_it_ended_and_finds_nothing_twice(house: House) -> None:
    await house.live(6)
    assert await house.archive_all_but(3) == 1
    assert await house.archive_all_but(3) == 0
    await house.live(6)
    assert await house.archive_all_but(3) >= 1
    assert (await house.report()).intact


async def test_what_is_still_needed_and_all_behind_it_stays(house: House) -> None:
    await house.live(8)
    house.held.append(4)
    await house.archive_all_but(0)
    assert (await house.log.page(0))[0].sequence == 4
    house.held[:] = [1]
    assert await house.archive_all_but(0) == 0


@pytest.mark.parametrize("harm", ["gone", "edited", "truncated", "swapped"])
async def test_a_segment_that_is_missing_or_edited_is_found(house: House, harm: str) -> None:
    await house.live(12)
    await house.archive_all_but(1)
    await house.log.close()
    first, second = sorted(house.segments.glob("*.jsonl.gz"))[:2]
    if harm == "gone":
        first.unlink()
    elif harm == "edited":
        first.write_bytes(gzip.compress(gzip.decompress(first.read_bytes()).replace(b"alice", b"carol")))
    elif harm == "truncated":
        first.write_bytes(first.read_bytes()[:-30])
    else:
        first.write_bytes(second.read_bytes())
    expected = ChainProblemKind.MISSING_SEGMENT if harm == "gone" else ChainProblemKind.EDITED_SEGMENT
    assert expected in await house.kinds()


async def test_a_log_that_is_not_in_order_is_not_archived(house: House) -> None:
    await house.live(6)
    for statement in _without_triggers(house.database):
        await house.database.write(lambda c, s=statement: c.execute(text(s)))
    await house.database.write(
        lambda c: c.execute(text("UPDATE audit_entries SET actor = 'carol' WHERE sequence = 2"))
    )
    with pytest.raises(Exception, match="not in order"):
        await house.archive_all_but(1)
    assert (await house.log.page(0))[0].sequence == 1


async def test_nobody_else_can_delete_and_a_false_segment_is_found(house: House) -> None:
    await house.live(6)
    await house.archive_all_but(3)
    await house.log.close()

    async def delete(connection: AsyncConnection) -> None:
        await connection.execute(text("DELETE FROM audit_entries WHERE sequence = 5"))

    with pytest.raises(DBAPIError):
        await house.database.write(delete)
    with pytest.raises(DBAPIError):
        await house.database.write(lambda c: c.execute(text("DELETE FROM audit_segments")))
    with pytest.raises(DBAPIError):
        await house.database.write(lambda c: c.execute(text("UPDATE audit_segments SET last_sequence = 6")))
    record = (await house.log.segments())[-1]
    row = record.model_dump(exclude={"type"}) | {
        "first_sequence": record.last_sequence + 1,
        "last_sequence": record.last_sequence + 2,
    }
    columns = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    # Who writes the database can get this far: its triggers know no signatures.
    await house.database.write(
        lambda c: c.execute(text(f"INSERT INTO audit_segments ({columns}) VALUES ({values})"), row)
    )
    await house.database.write(delete)
    assert {ChainProblemKind.BAD_SIGNATURE, ChainProblemKind.MISSING_ENTRIES} <= await house.kinds()


async def test_a_search_finds_by_event_actor_subject_time_and_text(house: House) -> None:
    await house.live(5, details='100% of "A_B"')

    async def found(**wanted: str) -> list[int]:
        return [entry.sequence for entry in await house.log.search(AuditQuery(**wanted))]

    assert await found(event="thing.*") == [1, 2, 3, 4, 5]
    assert await found(event="thing") == await found(event="thin_*") == []
    assert await found(actor="alice", subject="thing 3") == [4]
    start = datetime(2030, 1, 3, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    assert await found(since=start) == [3, 4, 5]
    assert await found(until=start) == [1, 2]
    assert await found(text="100% OF") == [1, 2, 3, 4, 5]
    assert await found(text="100_ of") == await found(text="a%b") == []
    page = await house.log.search(AuditQuery(actor="alice"), after=2, limit=2)
    assert [entry.sequence for entry in page] == [3, 4]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1", "  =1"])
async def test_no_cell_of_the_table_is_a_formula(house: House, text: str) -> None:
    await house.database.write(
        lambda connection: house.log.append(connection, "thing", actor=text, subject=text, details={})
    )
    line = csv_line((await house.log.tail(1))[0])
    assert f'"\'{text}"' in line
    assert csv_header().startswith('"sequence","at"')


def _without_triggers(database: Database) -> list[str]:
    if database.dialect == "sqlite":
        return ["DROP TRIGGER audit_entries_refuse_update"]
    return ["ALTER TABLE audit_entries DISABLE TRIGGER USER"]
