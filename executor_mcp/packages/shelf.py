"""Where locked packages lie: one directory each, with `package.json`, `requirements.txt` and `layer/`.

A package appears and changes by one rename, so a reader sees it as it was or as it is. Writers take turns.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from executor_mcp.packages.errors import LayerBroken, PackageError
from executor_mcp.packages.layers import measure, remove_tree
from executor_mcp.packages.locked import LockedPackage

_FACTS = "package.json"
_LAYER = "layer"
_STAGING = ".staging-"


class Shelf:
    """Blocking; call it in a thread. Missing is empty."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._verified: set[str] = set()

    def packages(self) -> tuple[LockedPackage, ...]:
        """Every package that is here, by name. Raises PackageError for one that cannot be read."""
        if not self.directory.is_dir():
            return ()
        found: list[LockedPackage] = []
        for entry in sorted(self.directory.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                found.append(self._read(entry / _FACTS))
        return tuple(found)

    def layer(self, package: LockedPackage) -> Path:
        """Where its files are, compared with the digest once in this process. Raises LayerBroken."""
        path = self.directory / package.key / _LAYER
        if package.layer not in self._verified:
            self.verify(package)
        if not path.is_dir():
            raise LayerBroken(f"the files of {package} are gone; add it again")
        return path

    def verify(self, package: LockedPackage) -> None:
        """Raises LayerBroken when the files are not those that were locked."""
        if measure(self.directory / package.key / _LAYER).digest != package.layer:
            self._verified.discard(package.layer)
            raise LayerBroken(
                f"the files of {package} are not those that were locked; remove it and add it again"
            )
        self._verified.add(package.layer)

    @contextmanager
    def staging(self) -> Generator[Path]:
        """A directory to build in, beside its later place; what is left in it is removed."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.directory / f"{_STAGING}{secrets.token_hex(8)}"
        with self._turn():
            path.mkdir(mode=0o700)
            # Held until the end, which the kernel brings about for a process that is killed.
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            if path.exists():
                remove_tree(path)
            os.close(held)

    def remove_leftovers(self) -> int:
        """Removes what dead processes were building; the number of directories removed."""
        if not self.directory.is_dir():
            return 0
        removed = 0
        with self._turn():
            for path in self.directory.glob(f"{_STAGING}*"):
                removed += _remove_unless_held(path)
        return removed

    def put(self, staged: Path, package: LockedPackage) -> None:
        """Takes a staged directory in; one that is here already keeps its files and gets the new facts."""
        target = self.directory / package.key
        with self._turn():
            if target.exists():
                self._write(target, package)
                return
            self._write(staged, package)
            staged.rename(target)

    def replace(self, package: LockedPackage) -> None:
        """Keeps new facts of a package that is here."""
        with self._turn():
            target = self.directory / package.key
            if not target.is_dir():
                raise PackageError(f"{package} is no longer here")
            self._write(target, package)

    def remove(self, package: LockedPackage) -> None:
        """A program that runs with it now loses what it has not opened yet."""
        with self._turn():
            target = self.directory / package.key
            gone = self.directory / f"{_STAGING}{secrets.token_hex(8)}"
            if target.exists():
                target.rename(gone)
                remove_tree(gone)

    @contextmanager
    def _turn(self) -> Generator[None]:
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, directory: Path, package: LockedPackage) -> None:
        temporary = directory / f".{_FACTS}.{secrets.token_hex(8)}"
        with temporary.open("x", encoding="utf-8") as file:
            # Without what is not there the facts are those that an older executor can read.
            unused: dict[str, Any] = {} if package.approved else {"approved": True}
            plain = {place for place, one in enumerate(package.distributions) if one.node is None}
            unused["distributions"] = {place: {"node"} for place in plain}
            file.write(package.model_dump_json(indent=1, exclude=unused))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(directory / _FACTS)

    def _read(self, path: Path) -> LockedPackage:
        try:
            package = LockedPackage.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise PackageError(
                f"{path} cannot be read ({type(error).__name__}); remove its directory"
            ) from error
        if package.key != path.parent.name:
            raise PackageError(f"{path} speaks of another package; remove its directory")
        return package


def _remove_unless_held(path: Path) -> bool:
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(path)
    except BlockingIOError:
        return False
    finally:
        os.close(held)
    return True


@asynccontextmanager
async def staging(shelf: Shelf) -> AsyncGenerator[Path]:
    """`Shelf.staging` for a server, which must not wait for others' turns or for files to go."""
    staged = shelf.staging()
    path = await asyncio.to_thread(staged.__enter__)
    try:
        yield path
    finally:
        await asyncio.shield(asyncio.to_thread(staged.__exit__, None, None, None))
