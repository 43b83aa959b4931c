"""Resolves, locks and unpacks Python packages with `uv`, from the indexes that this machine is set up with.

1. Wheels alone: a source distribution would run its own code to be built, so it is refused.
2. Versions and hashes are written down first; what is unpacked has to have one of the hashes.
3. It runs in an empty directory, without this executor's own settings in its environment, within a time.
4. No command that a package brings is kept, so that the files do not depend on this machine.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from executor_mcp.packages.bounded_command import run_bounded
from executor_mcp.packages.errors import PackageNotInstallable
from executor_mcp.packages.installing import Target
from executor_mcp.packages.layers import remove_tree
from executor_mcp.packages.locked import Distribution

_SECONDS = 600.0
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_OWN_SETTINGS = ("EXECUTOR_", "HITL_", "PYTHON", "VIRTUAL_ENV")


class UvInstaller:
    """Implements `Installer` for Python."""

    def __init__(self, environment: Mapping[str, str] | None = None, *, seconds: float = _SECONDS) -> None:
        given = os.environ if environment is None else environment
        self._environment = {
            name: value for name, value in given.items() if not name.startswith(_OWN_SETTINGS)
        }  # 3
        self._seconds = seconds

    async def lock(
        self, requirements: Sequence[str], target: Target, staged: Path, *, constraints: Sequence[str] = ()
    ) -> tuple[Distribution, ...]:
        wanted, lock, pins = staged / "wanted.in", staged / "requirements.txt", staged / "constraints.txt"
        wanted.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        pins.write_text("\n".join(constraints) + "\n", encoding="utf-8")
        options = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        files = ["-c", str(pins), "-o", str(lock), str(wanted)]
        await self._run(staged, "compile", target, *options, *files)
        wanted.unlink()
        pins.unlink()
        return locked_distributions(lock.read_text(encoding="utf-8"))  # 2

    async def unpack(self, target: Target, staged: Path, *, own_cache: bool = False) -> None:
        lock, layer, cache = staged / "requirements.txt", staged / "layer", staged / "cache"
        options = ["--require-hashes", "--no-deps", "--link-mode", "copy", "--target", str(layer)]
        if own_cache:
            options += ["--cache-dir", str(cache)]
        await self._run(staged, "install", target, *options, "-r", str(lock))
        await asyncio.to_thread(drop_commands, layer)  # 4
        if own_cache:
            await asyncio.to_thread(remove_tree, cache)

    def _uv(self) -> str:
        # The one that was installed with this executor, before whatever else is there.
        path = os.pathsep.join((str(Path(sys.executable).parent), self._environment.get("PATH", "")))
        uv = shutil.which("uv", path=path)
        if uv is None:
            raise PackageNotInstallable("uv is needed to lock packages: pip install 'hitl-mcp[packages]'")
        return uv

    async def _run(self, directory: Path, command: str, target: Target, *options: str) -> None:
        common = [
            *("--quiet", "--no-build", "--no-python-downloads", "--python", sys.executable),  # 1
            *("--python-version", target.interpreter, "--python-platform", target.platform),
        ]
        said = await run_bounded(
            "uv",
            (self._uv(), "pip", command, *common, *options),
            directory=directory,
            environment=self._environment,
            seconds=self._seconds,
        )
        if said is not None:
            raise PackageNotInstallable(f"uv could not provide it as wheels: {said}")


def locked_distributions(lock: str) -> tuple[Distribution, ...]:
    """What a requirements file names. Raises PackageNotInstallable for anything without a hash."""
    found: list[Distribution] = []
    for entry in lock.replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        pinned, hashes = _PINNED.match(entry), tuple(_HASH.findall(entry))
        if pinned is None or not hashes:
            raise PackageNotInstallable(f"{entry.split()[0]} has no exact version and hash")
        found.append(Distribution(name=pinned["name"], version=pinned["version"], hashes=hashes))
    if not found:
        raise PackageNotInstallable("nothing was resolved")
    return tuple(found)


def drop_commands(layer: Path) -> None:
    """Removes scripts, which name this machine's interpreter, from the files and from the lists of them."""
    shutil.rmtree(layer / "bin", ignore_errors=True)
    (layer / ".lock").unlink(missing_ok=True)
    for record in layer.glob("*.dist-info/RECORD"):
        rows = list(csv.reader(io.StringIO(record.read_text(encoding="utf-8"), newline="")))
        kept = [row for row in rows if row and not re.match(r"(\.\./)*bin/", row[0])]
        written = io.StringIO(newline="")
        csv.writer(written, lineterminator="\n").writerows(kept)
        record.write_text(written.getvalue(), encoding="utf-8")
