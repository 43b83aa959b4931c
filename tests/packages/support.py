"""Wheels made on the spot, an index that is a directory, and a keeper over real files and a real database."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from executor_mcp.assembly import assemble_ledger
from executor_mcp.packages.errors import VulnerabilitiesUnknown
from executor_mcp.packages.installing import Installer, target_here
from executor_mcp.packages.keeping import PackageKeeper
from executor_mcp.packages.locked import Distribution, Vulnerability
from executor_mcp.packages.offering import ShelfOffer
from executor_mcp.packages.requirements import AllowList
from executor_mcp.packages.shelf import Shelf
from executor_mcp.packages.uv_installer import UvInstaller
from executor_mcp.receipt_key import load_or_create_receipt_key
from executor_mcp.sandbox.base import LanguageDescription, SandboxDescription
from hitl_contract.action import CodeExecution
from hitl_contract.action_code import Language
from server_kit.database.base import Database
from tests.conftest import ManualClock

INTERPRETER = "3.11"
TARGET = target_here(INTERPRETER)
SANDBOX = SandboxDescription(
    backend="bubblewrap",
    runtime="bwrap",
    image_digest=None,
    languages=(LanguageDescription(Language.PYTHON, f"{INTERPRETER}.2"),),
)


def make_wheel(
    index: Path,
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    *,
    needs: Sequence[str] = (),
    command: bool = False,
) -> None:
    """A pure Python wheel in a directory that serves as an index."""
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {one}\n" for one in needs)
    content = {
        **(files or {f"{name}/__init__.py": f"VERSION = {version!r}\n"}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": f"[console_scripts]\n{name}={name}:main\n"} if command else {}),
    }
    rows = [f"{path},{_record_hash(text)},{len(text.encode())}\n" for path, text in content.items()]
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in content.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")


def _record_hash(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def uv_with(index: Path) -> UvInstaller:
    """uv that knows this directory and no other index."""
    settings = index.parent / "uv.toml"
    settings.write_text(f'no-index = true\nfind-links = ["{index}"]\n')
    return UvInstaller(
        {
            "PATH": os.environ["PATH"],
            "HOME": str(index.parent),
            "UV_CACHE_DIR": str(index.parent / "uv-cache"),
            "UV_CONFIG_FILE": str(settings),
        }
    )


@dataclass
class Source:
    """A `VulnerabilitySource` that says what it is told to."""

    found: dict[str, tuple[Vulnerability, ...]] = field(default_factory=dict[str, tuple[Vulnerability, ...]])
    silent: bool = False
    name: str = "told"

    async def known(self, distributions: Sequence[Distribution]) -> dict[str, tuple[Vulnerability, ...]]:
        if self.silent:
            raise VulnerabilitiesUnknown("the source is away")
        asked = {str(one) for one in distributions}
        return {name: found for name, found in self.found.items() if name in asked}


@dataclass
class Bench:
    keeper: PackageKeeper
    shelf: Shelf
    source: Source
    clock: ManualClock
    allowed: AllowList
    events: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def offer(self, allowed: AllowList | None = None) -> ShelfOffer:
        return ShelfOffer(self.shelf, allowed or self.allowed, max_age=timedelta(hours=24), clock=self.clock)


@asynccontextmanager
async def keeping(
    database: Database, home: Path, index: Path | Installer, *allowed: str, nodejs: Sequence[str] = ()
) -> AsyncIterator[Bench]:
    """A keeper; the bench's `events` are filled when it is left."""
    clock, source, shelf = ManualClock(), Source(), Shelf(home / "packages")
    list_ = AllowList(allowed, {Language.NODEJS: nodejs})
    key = await asyncio.to_thread(load_or_create_receipt_key, home / "keys")
    ledger = assemble_ledger(database, key, state=home / "state", clock=clock)
    await ledger.audit.begin()
    keeper = PackageKeeper(
        shelf=shelf,
        allowed=list_,
        source=source,
        installer=uv_with(index) if isinstance(index, Path) else index,
        database=database,
        audit=ledger.audit,
        clock=clock,
    )
    made = Bench(keeper, shelf, source, clock, list_)
    try:
        yield made
    finally:
        made.events = [(entry.event, entry.subject) for entry in await ledger.audit.tail(100)]
        await ledger.audit.close()


def program(*packages: str, language: str = "python", code: str = "1") -> CodeExecution:
    return CodeExecution.model_validate(
        {"type": "code_execution", "language": language, "code": code, "packages": list(packages)}
    )
