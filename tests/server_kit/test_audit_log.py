"""The audit log: written with its act, closed to every change, and telling when it was tampered with."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_verification import ChainProblemKind, ChainReport
from hitl_contract.keys import PublicKeys, key_id
from server_kit.audit_checking import report_of
from server_kit.audit_log import AuditLog, audit_tables
from server_kit.audit_verifier.command import verify_export
from server_kit.audit_verifier.signatures import Keys
from server_kit.audit_witness import Witness
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from server_kit.errors import AuditUnavailable

metadata = MetaData()
tables = audit_tables(metadata)
private_key = Ed25519PrivateKey.generate()
KEY_ID = key_id(private_key.public_key())
KEYS = PublicKeys([private_key.public_key()])


def exported(directory: Path, lines: list[bytes], *witnesses: Path) -> ChainReport:
    """What somebody finds who has these lines, the public keys and these witnesses, and nothing else."""
    export = directory / "export.jsonl"
    export.write_bytes(b"".join(lines))
    keys = Keys(KEYS.to_jwks())
    return report_of(verify_export(export, chain="test", keys=keys, witnesses=witnesses)[0])


def make_log(database: Database, witness: Path | None = None, every: int = 4) -> AuditLog:
    return AuditLog(
        database=database,
        tables=tables,
        chain="test",
        private_key=private_key,
        key_id=KEY_ID,
        witness=witness,
        checkpoint_every=every,
    )


async def create(connection: AsyncConnection) -> None:
    await connection.run_sync(metadata.create_all)


async def add(log: AuditLog, database: Database, count: int = 1) -> None:
    for number in range(count):
        await database.write(
            lambda connection, n=number: log.append(
                connection, "thing.done", actor="alice", subject=f"thing {n}", details={"number": n}
            )
        )


@pytest.fixture
async def log(database: Database, tmp_path: Path) -> AuditLog:
    await database.write(create)
    return make_log(database, tmp_path / "witness.jsonl")


def kinds(report: ChainReport) -> set[ChainProblemKind]:
    return {problem.kind for problem in report.problems}


async def test_a_chain_that_nobody_touched_is_intact_and_can_be_read_back(
    log: AuditLog, database: Database, tmp_path: Path
) -> None:
    await add(log, database, 10)
    await log.close()
    report = await log.verify(KEYS)
    assert report.intact
    assert (report.entries, report.unsigned_tail) == (10, 0)
    assert report.checkpoints >= 1
    tail = await log.tail(3)
    assert [entry.sequence for entry in tail] == [8, 9, 10]
    assert tail[-1].details == {"number": 9}
    lines = [line async for line in log.lines()]
    assert exported(tmp_path, lines).intact
    assert not exported(tmp_path, lines[1:]).intact


async def test_many_writers_in_several_processes_keep_one_chain(
    log: AuditLog, database: Database, database_url: str
) -> None:
    other = await open_database(database_url)
    other_log = make_log(other)
    await asyncio.gather(
        *(add(log, database, 20) for _ in range(4)), *(add(other_log, other, 20) for _ in range(4))
    )
    await log.close()
    await other_log.close()
    report = await log.verify(KEYS)
    assert report.intact
    assert report.entries == 160
    await other.close()


async def test_an_act_and_its_entry_are_undone_together(log: AuditLog, database: Database) -> None:
    async def failing(connection: AsyncConnection) -> None:
        await log.append(connection, "act", actor="a", subject="s", details={})
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(failing)
    assert await log.tail(5) == []
    await add(log, database)
    assert (await log.verify(KEYS)).intact


async def test_what_cannot_be_recorded_does_not_happen(log: AuditLog, database: Database) -> None:
    await database.write(lambda c: c.execute(text("CREATE TABLE acts (name TEXT)")))
    await database.write(lambda c: c.execute(text("ALTER TABLE audit_entries RENAME TO elsewhere")))

    async def act(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO acts VALUES ('done')"))
        await log.append(connection, "act", actor="a", subject="s", details={})

    with pytest.raises(AuditUnavailable):
        await database.write(act)
    assert await database.read(lambda c: c.scalar(text("SELECT count(*) FROM acts"))) == 0
    await database.write(lambda c: c.execute(text("ALTER TABLE elsewhere RENAME TO audit_entries")))
    await database.write(act)
    assert await database.read(lambda c: c.scalar(text("SELECT count(*) FROM acts"))) == 1


async def test_details_that_have_no_canonical_form_are_refused(log: AuditLog, database: Database) -> None:
    async def act(connection: AsyncConnection) -> None:
        await log.append(connection, "act", actor="a", subject="s", details={"number": float("nan")})

    with pytest.raises(AuditUnavailable):
        await database.write(act)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'mallory' WHERE sequence = 1",
        "DELETE FROM audit_entries WHERE sequence = 3",
        "DELETE FROM audit_entries",
        "UPDATE audit_checkpoints SET signature = 'x'",
        "DELETE FROM audit_checkpoints",
        "INSERT INTO audit_entries SELECT * FROM audit_entries WHERE sequence = 1",
    ],
)
async def test_the_database_refuses_to_change_the_log(
    log: AuditLog, database: Database, statement: str
) -> None:
    await add(log, database, 3)
    await log.checkpoint()
    with pytest.raises(DBAPIError):
        await database.write(lambda c: c.execute(text(statement)))
    assert (await log.verify(KEYS)).intact


async def test_truncating_and_replacing_are_refused_too(log: AuditLog, database: Database) -> None:
    await add(log, database, 3)
    await log.checkpoint()
    by_dialect = {
        "postgresql": ["TRUNCATE audit_entries", "TRUNCATE audit_checkpoints CASCADE"],
        "sqlite": [
            "INSERT OR REPLACE INTO audit_entries SELECT sequence, chain, at, event, 'mallory', subject, "
            "details, previous_hash, entry_hash FROM audit_entries WHERE sequence = 2",
            "INSERT OR REPLACE INTO audit_checkpoints SELECT sequence, chain, entry_hash, at, key_id, 'x' "
            "FROM audit_checkpoints",
        ],
    }
    for statement in by_dialect[database.dialect]:
        with pytest.raises(DBAPIError, match="append-only"):
            await database.write(lambda c, s=statement: c.execute(text(s)))
    assert (await log.verify(KEYS)).intact


@dataclass(frozen=True)
class Tampering:
    name: str
    statements: tuple[str, ...]
    found: ChainProblemKind


TAMPERINGS = [
    Tampering(
        "edit", ("UPDATE audit_entries SET actor = 'm' WHERE sequence = 5",), ChainProblemKind.EDITED_ENTRY
    ),
    Tampering(
        "edit of details",
        ("""UPDATE audit_entries SET details = '{"number":7}' WHERE sequence = 5""",),
        ChainProblemKind.EDITED_ENTRY,
    ),
    Tampering(
        "deletion", ("DELETE FROM audit_entries WHERE sequence = 5",), ChainProblemKind.MISSING_ENTRIES
    ),
    Tampering(
        "deletion closed up",
        (
            "DELETE FROM audit_entries WHERE sequence = 5",
            *(f"UPDATE audit_entries SET sequence = {n - 1} WHERE sequence = {n}" for n in range(6, 11)),
        ),
        ChainProblemKind.BROKEN_LINK,
    ),
    Tampering(
        "insertion",
        (
            *(f"UPDATE audit_entries SET sequence = {n + 1} WHERE sequence = {n}" for n in range(10, 5, -1)),
            "INSERT INTO audit_entries SELECT 6, chain, at, 'forged', actor, subject, details, entry_hash, "
            "entry_hash FROM audit_entries WHERE sequence = 5",
        ),
        ChainProblemKind.EDITED_ENTRY,
    ),
    Tampering(
        "reorder",
        (
            "UPDATE audit_entries SET sequence = 99 WHERE sequence = 5",
            "UPDATE audit_entries SET sequence = 5 WHERE sequence = 6",
            "UPDATE audit_entries SET sequence = 6 WHERE sequence = 99",
        ),
        ChainProblemKind.BROKEN_LINK,
    ),
    Tampering("cut tail", ("DELETE FROM audit_entries WHERE sequence > 7",), ChainProblemKind.CUT_TAIL),
    Tampering(
        "cut tail with its checkpoint",
        ("DELETE FROM audit_entries WHERE sequence > 7", "DELETE FROM audit_checkpoints WHERE sequence > 7"),
        ChainProblemKind.ROLLED_BACK,
    ),
    Tampering(
        "a checkpoint altered",
        ("UPDATE audit_checkpoints SET entry_hash = 'sha-256:AAAA' WHERE sequence = 10",),
        ChainProblemKind.BAD_SIGNATURE,
    ),
]


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
async def test_tampering_by_somebody_who_owns_the_database_is_found(
    log: AuditLog, database: Database, tampering: Tampering
) -> None:
    await add(log, database, 10)
    await log.close()

    async def tamper(connection: AsyncConnection) -> None:
        if database.dialect == "postgresql":
            for table in ("audit_entries", "audit_checkpoints"):
                await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        else:
            names = (
                await connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            ).all()
            for name in names:
                await connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in tampering.statements:
            await connection.exec_driver_sql(statement)

    await database.write(tamper)
    report = await log.verify(KEYS)
    assert tampering.found in kinds(report)


async def test_a_chain_computed_anew_without_the_key_is_found_as_a_fork(
    log: AuditLog, database: Database, tmp_path: Path
) -> None:
    await add(log, database, 6)
    await log.close()
    other_url = f"sqlite+aiosqlite:///{tmp_path / 'forged.db'}"
    forged = await open_database(other_url)
    await forged.write(create)
    stranger = Ed25519PrivateKey.generate()
    forged_log = AuditLog(
        database=forged, tables=tables, chain="test", private_key=stranger, key_id=KEY_ID, witness=None
    )
    await add(forged_log, forged, 6)
    await forged_log.close()
    lines = [line async for line in forged_log.lines()]
    await forged.close()
    assert ChainProblemKind.BAD_SIGNATURE in kinds(exported(tmp_path, lines))
    assert ChainProblemKind.FORKED in kinds(exported(tmp_path, lines, tmp_path / "witness.jsonl"))


def copy_database(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as origin, sqlite3.connect(target) as copy:
        origin.backup(copy)
    origin.close()
    copy.close()


@pytest.mark.parametrize("lived_on", [False, True], ids=["nothing came after", "new entries came after"])
async def test_a_database_put_back_to_an_earlier_state_is_found_and_takes_no_entry(
    sqlite_url: str, tmp_path: Path, lived_on: bool
) -> None:
    path = tmp_path / "test.db"
    witness = tmp_path / "witness.jsonl"
    database = await open_database(sqlite_url)
    await database.write(create)
    log = make_log(database, witness)
    await add(log, database, 5)
    copy_database(path, tmp_path / "earlier.db")
    await add(log, database, 5)
    await log.close()
    await database.close()

    shutil.move(tmp_path / "earlier.db", path)
    database = await open_database(sqlite_url)
    if lived_on:
        await add(make_log(database), database, 9)
    log = make_log(database, witness)
    expected = ChainProblemKind.FORKED if lived_on else ChainProblemKind.ROLLED_BACK
    assert expected in kinds(await log.verify(KEYS))
    with pytest.raises(AuditUnavailable, match="rolled back"):
        await add(log, database)
    await database.close()


async def test_a_checkpoint_comes_by_itself_after_the_given_number_of_entries(
    log: AuditLog, database: Database, tmp_path: Path
) -> None:
    await add(log, database, 4)
    assert log._checkpointing is not None
    await log._checkpointing
    witnessed = Witness(tmp_path / "witness.jsonl").checkpoints()
    assert [mark.sequence for mark in witnessed] == [4]
    assert await log.checkpoint() is None


async def test_a_witness_line_cut_off_by_a_crash_is_passed_over_and_removed(
    log: AuditLog, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "witness.jsonl"
    await add(log, database, 1)
    await log.checkpoint()
    with path.open("ab") as file:
        file.write(b'{"type":"hitl-audit-ch')
    assert len(Witness(path).checkpoints()) == 1
    await add(log, database, 1)
    await log.checkpoint()
    assert [mark.sequence for mark in Witness(path).checkpoints()] == [1, 2]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_witness_that_was_scribbled_on_stops_the_log_and_is_reported(
    database: Database, tmp_path: Path
) -> None:
    await database.write(create)
    path = tmp_path / "witness.jsonl"
    path.write_text("nonsense\n")
    log = make_log(database, path)
    with pytest.raises(AuditUnavailable, match="line 1"):
        await add(log, database)
    assert not (await log.verify(KEYS)).intact
