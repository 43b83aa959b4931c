"""`hitl-executor doctor` beside an executor that runs, one that died, and one that does not answer."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import stat
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from executor_mcp import status_socket
from executor_mcp.live_report import LiveReport, live_report
from executor_mcp.measurements import Measurements
from executor_mcp.sandbox.burst.tier import BurstReport
from executor_mcp.sandbox.pool.classes import ClassReport, WarmClass
from executor_mcp.sandbox.pool.warm_pool import PoolReport
from executor_mcp.settings import Settings
from executor_mcp.status_socket import ask_executors, telling
from executor_mcp.storage.processes import processes_directory
from executor_mcp.wiring import open_executor
from hitl_contract.action_code import Limits
from tests.conftest import free_port
from tests.executor.support import ISSUER, Issuer
from tests.executor.test_audit_commands import run

USUAL = WarmClass.of("sha256:0123456789abcdef0123456789", Limits())
LARGE = WarmClass.of("sha256:0123456789abcdef0123456789", Limits(memory_mb=2048))
POOL = PoolReport(
    ready=2,
    launching=1,
    taken=3,
    waiting_callers=4,
    classes=2,
    launched=40,
    served_warm=31,
    served_cold=5,
    launch_seconds=0.4,
    failed_launches=6,
    last_failure="the engine is slow",
    problem=None,
    kinds=(
        ClassReport(USUAL, 2, 2, 0, 3, 0),
        ClassReport(LARGE, 0, 0, 1, 0, 4),
        ClassReport(WarmClass.of("sha256:forgotten", Limits()), 0, 0, 0, 0, 0),
    ),
)
BURST = BurstReport(containers=2, live=7, launched=3, executions=90, condemned=1, problem="it died")


class Pooled:
    def report(self) -> PoolReport:
        return POOL


@dataclass
class Burst:
    ordinary: Pooled = field(default_factory=Pooled)

    def report(self) -> BurstReport:
        return BURST


@dataclass
class Networked:
    inner: Burst = field(default_factory=Burst)


def told() -> LiveReport:
    started = datetime.now(UTC) - timedelta(hours=5)
    return live_report(Networked(), name="docker", running=3, places=8, started_at=started)


def somebody_else(connection: socket.socket) -> int:
    del connection
    return os.getuid() + 4711


def lock(home: Path, owner: str) -> int:
    processes_directory(home).mkdir(parents=True)
    descriptor = os.open(processes_directory(home) / f"{owner}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


async def doctor(home: Path, *options: str) -> Any:
    chosen = {"EXECUTOR_SANDBOX": "bubblewrap", "EXECUTOR_HTTP__PORT": str(free_port()), "COLUMNS": "160"}
    return await asyncio.to_thread(run, home, "doctor", *options, **chosen)


async def test_the_doctor_shows_the_pool_and_the_burst_tier_of_an_executor_that_runs(tmp_path: Path) -> None:
    # Deeper than the address of a socket can be long.
    home = tmp_path / ("deep" * 20) / ("deeper" * 15)
    held = lock(home, "own_living")
    directory = processes_directory(home)
    async with telling(directory, "own_living", told):
        shown = (await doctor(home)).output
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE((directory / "own_living.socket").stat().st_mode) == 0o600
        (report,) = await ask_executors(directory)
        assert isinstance(report, LiveReport)
    os.close(held)
    for line in (
        f"process {os.getpid()}, version ",
        "up for 5 hours, docker: 3 of 8 places taken",
        "2 warm, 1 launching, 3 taken, 4 calls wait; served 31 warm and 5 cold, 0.4 s to make one",
        "6 launches failed, the last: the engine is slow",
        "7 programs in 2 containers; since the start 90 in 3, of which 1 were given up",
        "any language and profile, 2048 MB",
        "image sha256:0123456789ab",
    ):
        assert line in " ".join(shown.split()), shown
    assert "forgotten" not in shown
    assert report.pool is not None
    assert [one.ready for one in report.pool.kinds] == [2, 0, 0]
    metrics = Measurements()
    metrics.watch_pool(Networked())
    for line in ('pool_containers{state="ready"} 2.0', "burst_running 7.0", "burst_executions_total 90.0"):
        assert f"hitl_executor_{line}" in metrics.exposition().decode()


async def test_one_that_died_is_not_shown_and_the_next_start_takes_its_socket_away(tmp_path: Path) -> None:
    held = lock(tmp_path, "own_dead")
    directory = processes_directory(tmp_path)
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(directory / "own_dead.socket"))
    os.close(held)
    found = json.loads((await doctor(tmp_path, "--json")).stdout)[-1]
    assert (found["name"], found["ok"], found["needed"]) == ("executor", False, False)
    assert found["detail"].startswith(f"none runs with the home {tmp_path}")
    async with telling(directory, "own_next", told):
        assert [path.name for path in directory.glob("*.socket")] == ["own_next.socket"]
    assert not list(directory.glob("*.socket"))


async def test_who_is_not_the_owner_is_told_nothing_and_silence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lock(tmp_path, "own_living")
    directory = processes_directory(tmp_path)
    async with telling(directory, "own_living", told):
        monkeypatch.setattr(status_socket, "_peer", somebody_else)
        (refused,) = await ask_executors(directory)
    assert isinstance(refused, str)
    assert "does not say how it is" in refused
    monkeypatch.setattr(status_socket, "ANSWER_SECONDS", 0.1)
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(directory / "own_living.socket"))
        silent.listen()
        (said,) = await ask_executors(directory)
    os.close(held)
    assert isinstance(said, str)
    assert "does not say how it is within 0.1 s" in said


async def test_a_started_executor_tells_until_it_ends_and_runs_without_a_socket_too(tmp_path: Path) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(Issuer().jwks()))
    home = tmp_path / "home"
    settings = Settings.model_validate(
        {"home": home, "jwks": str(jwks), "issuer": ISSUER, "sandbox": "bubblewrap", "max_concurrent": 5}
    )
    directory = processes_directory(home)
    async with open_executor(settings) as executor:
        (report,) = await ask_executors(directory)
        assert isinstance(report, LiveReport)
        assert (report.process_id, report.sandbox, report.places) == (os.getpid(), "bubblewrap", 5)
        assert (report.pool, report.burst) == (None, None)
        (directory / "taken.lock").touch()
        (directory / "own_second.socket").mkdir()
        async with telling(directory, "own_second", told):
            assert executor.service.running_here == 0
        (directory / "own_second.socket").rmdir()
    assert await ask_executors(directory) == []
