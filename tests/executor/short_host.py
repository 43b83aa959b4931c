"""An executor on a host that runs out of something for real: of processes, or of room on the disk of its
home.

Usage: python -m tests.executor.short_host processes|disk HOME BACKEND GROUP… — GROUP: directories of a
control group of which this process becomes a member; for `disk` it needs a mount namespace of its own. Ends
with status 0 when all held.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.models import ExecutionStatus
from server_kit.database.opening import open_database
from server_kit.http_serving import run
from server_kit.logging import configure_logging
from tests.executor.support import (
    PROGRAM,
    Bench,
    TwinSandbox,
    bench,
    counts,
    create_tables,
    eventually,
    outcome,
)
from tests.sandbox.conftest import make_sandbox

SLOW = {**PROGRAM, "language": "bash", "code": "sleep 1; echo done"}


class Processes:
    """The number that the kernel lets this process and its children be."""

    def __init__(self, directories: list[Path]) -> None:
        self._pids = next(one for one in directories if (one / "pids.max").exists())
        for directory in directories:
            (directory / "cgroup.procs").write_text(str(os.getpid()))

    def run_out(self, left: int = 0) -> None:
        now = int((self._pids / "pids.current").read_text())
        (self._pids / "pids.max").write_text(str(now + left))

    def come_back(self) -> None:
        (self._pids / "pids.max").write_text("max")


class Disk:
    """A file system of two megabytes."""

    def __init__(self, home: Path) -> None:
        self._filler = home / "filler"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(home)], check=True)

    def run_out(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def come_back(self) -> None:
        self._filler.unlink()


async def refused(made: Bench, token: str) -> Refused:
    before = await counts(made.database)
    with pytest.raises(Refused) as caught:
        async with asyncio.timeout(30):
            await made.executor.service.execute(token, None)
    assert await counts(made.database) == before
    assert caught.value.retryable
    return caught.value


async def ends(made: Bench, execution_id: str) -> None:
    execution = await made.executor.service.get(execution_id, wait_seconds=30)
    assert execution.status is ExecutionStatus.COMPLETED, execution.outcome
    assert execution.receipt is not None


async def runs(made: Bench, token: str) -> None:
    await ends(made, await made.executor.service.execute(token, None))


async def out_of_processes(made: Bench, processes: Processes, rooms: Sequence[int]) -> None:
    token = made.issuer.token()
    for left in rooms:
        processes.run_out(left)
        refusal = await refused(made, token)
        assert refusal.reason is RefusalReason.SANDBOX_UNAVAILABLE, refusal
        assert "out of pids" in refusal.detail, (left, refusal.detail)
        processes.come_back()
    await runs(made, token)
    if len(rooms) > 1:
        # Its programs are in the group that runs out.
        return
    running = await made.executor.service.execute(made.issuer.token(SLOW), None)
    processes.run_out()
    await ends(made, running)
    processes.come_back()
    await runs(made, made.issuer.token())


async def out_of_room(made: Bench, disk: Disk) -> None:
    sandbox = made.sandbox
    token = made.issuer.token()
    disk.run_out()
    refusal = await refused(made, token)
    assert refusal.reason is RefusalReason.STORAGE_UNAVAILABLE, refusal
    assert sandbox.started == []
    disk.come_back()
    sandbox.hold = True
    running = await made.executor.service.execute(token, None)
    await eventually(lambda: len(sandbox.runs) == 1)
    disk.run_out()
    sandbox.runs[0].end(outcome())
    assert not (await made.executor.service.get(running, wait_seconds=0.5)).status.is_final
    disk.come_back()
    await ends(made, running)
    sandbox.hold = False
    await runs(made, made.issuer.token())
    assert sandbox.started[0] == running
    assert len(sandbox.started) == 2


async def main(what: str, home: Path, backend: str, groups: list[Path]) -> None:
    configure_logging(level="error", format="text")
    disk = Disk(home) if what == "disk" else None
    database = await open_database(f"sqlite+aiosqlite:///{home / 'test.db'}", operation_seconds=2)
    await create_tables(database)
    sandbox: Any = TwinSandbox() if disk else make_sandbox(backend, f"short-{os.getpid()}")
    made = bench(database, home, sandbox=sandbox)
    await made.executor.recovery.begin()
    if disk is not None:
        await out_of_room(made, disk)
    else:
        # bwrap leaves the group for the sandbox's own where there is one, before it starts another process.
        rooms = [0, 1] if backend == "bubblewrap-without-groups" else [0]
        if backend == "bubblewrap":
            # It makes its control groups beside this process's: not within the one that runs out.
            await runs(made, made.issuer.token())
        await out_of_processes(made, Processes(groups), rooms)
    report = await made.executor.ledger.audit.verify(made.executor.receipt_key.public_keys())
    assert report.intact
    await made.executor.service.close()
    await made.executor.recovery.end()
    if disk is None:
        await sandbox.close()
    await database.close()


if __name__ == "__main__":
    run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], [Path(one) for one in sys.argv[4:]]))
