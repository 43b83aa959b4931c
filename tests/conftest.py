"""What every test may ask for: real databases, both of them, fresh for each test."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import structlog
from hypothesis import HealthCheck, settings

from server_kit.database.base import Database
from server_kit.database.opening import open_database
from server_kit.garbage import collect_rarely
from tests.quick_disk import quick_directory
from tests.trusted_authorities import authorities_read_once

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    collect_rarely()
    # Before pytest chooses where `tmp_path` is; its workers are told by the process that starts them.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(quick_directory()))


# Files with few tests that start whole servers or check the whole source: begun last, one worker would be at
# them while the others have nothing left to do.
_LONG_FILES = (
    "tests/cli/test_demo.py",
    "tests/architecture/test_branch_coverage.py",
    "tests/architecture/test_static_checks.py",
    "tests/architecture/test_documentation.py",
    "tests/cli/test_sealed_home.py",
    "tests/web/test_pages_browser.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, then those with the most tests; `scripts/test.sh` deals them out so."""
    counts = Counter(item.nodeid.partition("::")[0] for item in items)

    def place(item: pytest.Item) -> tuple[int, int, str]:
        file = item.nodeid.partition("::")[0]
        return (_LONG_FILES.index(file) if file in _LONG_FILES else len(_LONG_FILES), -counts[file], file)

    items.sort(key=place)


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2030, 1, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Administration:
    """Makes and drops databases on one connection, in a thread: the loop of the test stays untouched."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postgresql-administration")
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection | None = None

    def execute(self, port: int, statement: str) -> None:
        self._run(self._execute(port, statement))

    def close(self) -> None:
        """Only ends what is here: the server may be gone."""
        try:
            self._run(self._terminate())
        finally:
            self._thread.shutdown()
            self._loop.close()

    def _run(self, operation: Coroutine[Any, Any, None]) -> None:
        self._thread.submit(self._loop.run_until_complete, operation).result()

    async def _execute(self, port: int, statement: str) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                host="127.0.0.1", port=port, user="postgres", database="postgres", timeout=60
            )
        await self._connection.execute(statement, timeout=60)

    async def _terminate(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            # The transport closes its socket in the loop's next turn.
            await asyncio.sleep(0)


@dataclass(frozen=True)
class PostgresqlCluster:
    """A private PostgreSQL server, listening on 127.0.0.1 with a port of its own."""

    programs: Path
    directory: Path
    port: int
    fsync: bool
    administration: Administration = field(default_factory=Administration)

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://postgres:unused@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1 -c max_connections=200"
        # What is gone after each test needs no tidying meanwhile.
        options += "" if self.fsync else " -c fsync=off -c full_page_writes=off -c autovacuum=off"
        self._run(
            "pg_ctl",
            "-D",
            str(self.directory / "data"),
            "-l",
            str(self.directory / "log"),
            "-w",
            "-o",
            options,
            "start",
        )

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-m", mode, "-w", "stop")

    def create_database(self) -> str:
        name = f"test_{secrets.token_hex(8)}"
        self.administration.execute(self.port, f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        self.administration.execute(self.port, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def initialize(self) -> None:
        data = str(self.directory / "data")
        self._run(
            "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )

    def _run(self, program: str, *arguments: str) -> None:
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        completed = subprocess.run(
            [str(self.programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            # pg_ctl leaves the server its output; a pipe would stay open as long as the server runs.
            stdout=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.STDOUT,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PGUSER": "postgres"},
            cwd=self.directory,
            check=False,
            timeout=60,
        )
        if completed.returncode != 0:
            log = self.directory / "log"
            output = (completed.stdout or b"").decode() or (log.read_text()[-2000:] if log.exists() else "")
            raise RuntimeError(f"{program} failed with exit code {completed.returncode}: {output}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.fail("PostgreSQL's server programs are missing; install the package postgresql")
    return found[-1].parent if found else Path(str(on_path)).parent


def make_cluster(*, fsync: bool = False) -> Iterator[PostgresqlCluster]:
    """Start a private server; the generator's end stops it and removes its files."""
    # Not under pytest's own directory: that one belongs to root alone, and the server runs as another user.
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir=quick_directory()))
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
    cluster = PostgresqlCluster(_postgresql_programs(), directory, free_port(), fsync)
    try:
        cluster.initialize()
        cluster.start()
        yield cluster
    finally:
        cluster.administration.close()
        if (directory / "data" / "postmaster.pid").exists():
            cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def read_authorities_once() -> Iterator[None]:
    with authorities_read_once():
        yield


@pytest.fixture(autouse=True)
def logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command that runs in this process makes of logging ends with the test."""
    root, before, configure = logging.getLogger(), structlog.get_config(), structlog.configure
    kept = (root.level, list(root.handlers))
    # A logger that has been cached stays as it is for ever.
    monkeypatch.setattr(
        structlog, "configure", lambda **to: configure(**{**to, "cache_logger_on_first_use": False})
    )
    yield
    configure(**before)
    root.setLevel(kept[0])
    root.handlers[:] = kept[1]


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[PostgresqlCluster]:
    """One server for the whole session; do not stop it, take `own_postgresql_cluster` for that."""
    yield from make_cluster()


@pytest.fixture
def own_postgresql_cluster() -> Iterator[PostgresqlCluster]:
    """A server for one test, which may stop and start it."""
    yield from make_cluster()


@pytest.fixture
def postgresql_url(postgresql_cluster: PostgresqlCluster) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database."""
    name = postgresql_cluster.create_database()
    yield postgresql_cluster.url(name)
    postgresql_cluster.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each dialect."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open, empty database, once for each dialect."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
