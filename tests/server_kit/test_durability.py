"""What was acknowledged is there after kill -9, at whatever point of a transaction it comes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from hitl_contract.keys import PublicKeys
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.server_kit.writer_process import POINTS, PRIVATE_KEY, lefts, make_log, metadata, rights, tables

KEYS = PublicKeys([PRIVATE_KEY.public_key()])
ROUNDS = 3
ROOT = Path(__file__).parents[2]


class Writers:
    """Starts one writing process after another and listens to what each acknowledges before it dies."""

    def __init__(self, parent: subprocess.Popen[bytes]) -> None:
        assert parent.stdin is not None
        assert parent.stdout is not None
        self._stdin = parent.stdin
        self._stdout = parent.stdout

    def run_until_killed(
        self, url: str, witness: Path, first: int, point: str, passes: int, kill_after: int | None = None
    ) -> set[int]:
        """Return the numbers that the process acknowledged; with `kill_after` it is killed after so many."""
        job = {"url": url, "witness": str(witness), "first": first, "point": point, "passes": passes}
        self._stdin.write(json.dumps(job).encode() + b"\n")
        self._stdin.flush()
        acknowledged: set[int] = set()
        process = 0
        while True:
            word, *number = self._stdout.readline().split()
            if word == b"started":
                process = int(number[0])
            elif word == b"ended":
                assert int(number[0]) == -signal.SIGKILL
                return acknowledged
            else:
                acknowledged.add(int(word))
            if len(acknowledged) == kill_after and process:
                os.kill(process, signal.SIGKILL)
                kill_after = None


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.server_kit.writer_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    with parent:
        try:
            yield Writers(parent)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


async def check(url: str, witness: Path, acknowledged: set[int]) -> int:
    """Check everything that must hold after a crash; return the next free number."""
    database: Database = await open_database(url)
    try:
        left = set(await database.read(lambda c: c.scalars(select(lefts.c.number))))
        right = set(await database.read(lambda c: c.scalars(select(rights.c.number))))
        subjects = await database.read(lambda c: c.scalars(select(tables.entries.c.subject)))
        assert acknowledged <= left
        assert left == right == {int(subject) for subject in subjects}
        report = await make_log(database, witness).verify(KEYS)
        assert report.problems == ()
        return max(left, default=0) + 1
    finally:
        await database.close()


async def prepare(url: str) -> None:
    database = await open_database(url)
    await database.write(lambda connection: connection.run_sync(metadata.create_all))
    await database.close()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.timeout(120)
async def test_a_process_killed_at_a_point_of_the_transaction_loses_nothing_it_acknowledged(
    writers: Writers, database_url: str, tmp_path: Path, point: str
) -> None:
    await prepare(database_url)
    witness = tmp_path / "witness.jsonl"
    acknowledged: set[int] = set()
    first = 1
    for turn in range(ROUNDS):
        acknowledged |= await asyncio.to_thread(
            writers.run_until_killed, database_url, witness, first, point, turn * 2 + 1
        )
        first = await check(database_url, witness, acknowledged)


@pytest.mark.timeout(120)
async def test_a_process_killed_at_any_moment_loses_nothing_it_acknowledged(
    writers: Writers, database_url: str, tmp_path: Path
) -> None:
    await prepare(database_url)
    witness = tmp_path / "witness.jsonl"
    moments = random.Random(20260728)
    acknowledged: set[int] = set()
    first = 1
    for _ in range(8):
        acknowledged |= await asyncio.to_thread(
            writers.run_until_killed, database_url, witness, first, "never", 0, moments.randint(1, 200)
        )
        first = await check(database_url, witness, acknowledged)
    assert acknowledged
