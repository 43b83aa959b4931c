"""An executor that may add packages on an approval: real uv or npm, an index of its own, a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from executor_mcp.assembly import Additions
from executor_mcp.models import Execution
from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.packages.installing import Installer, Target
from executor_mcp.packages.locked import Distribution
from executor_mcp.packages.offering import ShelfOffer
from executor_mcp.packages.requirements import AllowList
from executor_mcp.packages.settings import AdditionSettings
from executor_mcp.packages.shelf import Shelf
from executor_mcp.sandbox.base import SandboxDescription
from hitl_contract.action_code import Language
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from tests.executor.support import Bench, Issuer, TwinSandbox, bench
from tests.packages.npm_support import NODE
from tests.packages.support import INTERPRETER, Source, make_wheel, uv_with

SPIES = "import os\nos.mkdir({marker!r})\nVERSION = 1\n"


VERSIONS = {Language.PYTHON: f"{INTERPRETER}.2", Language.NODEJS: NODE}


class InterpreterTwin(TwinSandbox):
    """With the Python and the Node.js that packages of the tests are for."""

    async def describe(self) -> SandboxDescription:
        found = await super().describe()
        languages = tuple(
            replace(one, version=VERSIONS.get(one.language, one.version)) for one in found.languages
        )
        return replace(found, languages=languages)


@dataclass
class HeldInstaller:
    """uv or npm, with something to happen before it unpacks."""

    inner: Installer
    before_unpacking: Callable[[], None] = lambda: None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    unpacking: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    async def lock(
        self, requirements: Sequence[str], target: Target, staged: Path, *, constraints: Sequence[str] = ()
    ) -> tuple[Distribution, ...]:
        return await self.inner.lock(requirements, target, staged, constraints=constraints)

    async def unpack(self, target: Target, staged: Path, *, own_cache: bool = False) -> None:
        self.unpacking.set()
        await self.go.wait()
        self.before_unpacking()
        await self.inner.unpack(target, staged, own_cache=own_cache)


@dataclass
class Adding:
    """An executor, and what it adds packages from."""

    made: Bench
    shelf: Shelf
    source: Source
    installer: HeldInstaller
    rules: AdditionRules

    async def run(self, action: object) -> Execution:
        return await self.made.run(action)

    def offer(self, given: AdditionRules | None = None) -> ShelfOffer:
        return ShelfOffer(
            self.shelf,
            AllowList(()),
            max_age=timedelta(hours=1),
            clock=SystemClock(),
            additions=given or self.rules,
        )

    def kept(self) -> list[str]:
        """What is on the shelf; nothing half done may lie beside it."""
        assert list(self.shelf.directory.glob(".staging-*")) == []
        return [str(one) for one in self.shelf.packages()]


def addition(*packages: str, needs: Sequence[str] = (), language: str = "python") -> dict[str, Any]:
    return {
        "type": "package_addition",
        "language": language,
        "packages": list(packages),
        "needs": list(needs),
    }


def rules(
    allowed: Sequence[str] = ("alpha", "gamma>=1", "sourceonly"),
    never: Sequence[str] = (),
    *,
    nodejs: Sequence[str] = (),
    nodejs_never: Sequence[str] = (),
) -> AdditionRules:
    settings = {"allowed": allowed, "never": never, "nodejs_allowed": nodejs, "nodejs_never": nodejs_never}
    return AdditionSettings.model_validate(settings).rules()


def make_index(directory: Path, marker: Path) -> Path:
    """alpha needs beta; both would leave a trace if any of their code was run."""
    directory.mkdir()
    spying = SPIES.format(marker=str(marker))
    files = {
        "alpha/__init__.py": spying,
        "alpha.pth": f"import os; os.mkdir({str(marker)!r})\n",
        "setup.py": spying,
        "sitecustomize.py": spying,
    }
    make_wheel(directory, "alpha", "1.0", files, needs=["beta>=1"], command=True)
    make_wheel(directory, "beta", "1.5")
    make_wheel(directory, "beta", "1.6rc1")
    make_wheel(directory, "gamma", "1.0", needs=["beta>=1"])
    return directory


def adding(
    database: Database,
    home: Path,
    index: Path | Installer,
    *,
    issuer: Issuer | None = None,
    allowed: AdditionRules | None = None,
    wall_seconds: float = 60,
    disk_mb: int = 64,
    **parts: Any,
) -> Adding:
    source, shelf, given = Source(), Shelf(home / "packages"), allowed or rules()
    installer = HeldInstaller(uv_with(index) if isinstance(index, Path) else index)
    offer = ShelfOffer(shelf, AllowList(()), max_age=timedelta(hours=1), clock=SystemClock(), additions=given)
    additions = Additions(given, shelf, installer, source, wall_seconds, disk_mb)
    made = bench(
        database, home, issuer=issuer, sandbox=InterpreterTwin(), packages=offer, additions=additions, **parts
    )
    return Adding(made, shelf, source, installer, given)


@asynccontextmanager
async def begun(one: Adding) -> AsyncGenerator[Adding]:
    await one.made.executor.recovery.begin()
    await one.made.executor.workplace.remove_leftovers()
    try:
        yield one
    finally:
        await one.made.executor.service.close()
        await one.made.executor.workplace.close()
        await one.made.executor.recovery.end()
