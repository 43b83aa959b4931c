"""Unpacks a package's archive from the registry into a directory, believing nothing that it says.

1. The archive has the hash of the lock.
2. It is bounded: its size, the size and number of what is in it, and each header.
3. Regular files and directories alone, all in one folder, which is left away; no link, device or hole.
4. No absolute path, no `..`, nothing twice, nothing in the `node_modules` where locked packages will lie.
5. A file is executable or not; no other right, owner or time of the archive is taken over.
6. Its `package.json` names the package and version of the lock, no script or compiler to install it, and no
   other platform or Node.js than the sandbox's.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

from executor_mcp.packages.errors import PackageNotInstallable
from executor_mcp.packages.npm_fitness import NpmPlatform, why_unfit
from executor_mcp.packages.npm_lock import NpmEntry

_CHUNK: Final = 1024 * 1024
_INSTALL_SCRIPTS: Final = ("preinstall", "install", "postinstall")
_MAX_PATH_BYTES: Final = 1024
_UNREADABLE: Final = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    OSError,
    ValueError,
    OverflowError,
    RecursionError,
)


@dataclass(slots=True)
class Room:
    """What may still be unpacked into one layer."""

    files: int = 100_000
    bytes: int = 1024**3
    archive_bytes: int = 256 * 1024**2
    """Of one archive, as it is fetched."""

    def close(self) -> None:
        """Nothing more may be: whatever is being unpacked is given up."""
        self.files = self.bytes = -1


def unpack_npm(archive: Path, entry: NpmEntry, target: Path, room: Room, platform: NpmPlatform) -> None:
    """Fills `target`, which must not be there. Raises PackageNotInstallable."""
    package = f"{entry.name}@{entry.version}"
    plain = archive.with_suffix(".tar")
    try:
        _refuse_other_content(archive, entry, room)
        _inflate(archive, plain, room)
        with (
            plain.open("rb") as file,
            tarfile.open(fileobj=cast("IO[bytes]", _ShortReads(file)), mode="r:") as tar,
        ):
            _extract(tar, target, room)
        _refuse_by_manifest(target, entry, platform)
    except _Refused as error:
        raise PackageNotInstallable(f"the archive of {package} {error}") from error
    except _UNREADABLE as error:
        raise PackageNotInstallable(
            f"the archive of {package} cannot be unpacked ({type(error).__name__})"
        ) from error
    finally:
        plain.unlink(missing_ok=True)


class _Refused(Exception):
    """What an archive does, after its name."""


class _ShortReads:
    """A file of which only so much is read at once: `tarfile` reads headers as long as they say they are."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise _Refused("has a header that is too large")  # 2
        return self._file.read(size)


def _refuse_other_content(archive: Path, entry: NpmEntry, room: Room) -> None:
    if archive.stat().st_size > room.archive_bytes:  # 2
        raise _Refused(f"is larger than {room.archive_bytes} bytes")
    if integrity_of(archive) != entry.integrity:  # 1
        raise _Refused("does not have the hash that was locked")


def integrity_of(archive: Path) -> str:
    """As lock files of npm say it."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def _inflate(archive: Path, plain: Path, room: Room) -> None:
    # Headers and padding come on top of the files.
    left = room.bytes + 2048 * room.files
    with gzip.open(archive) as source, plain.open("xb") as target:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0 or room.bytes < 0:
                raise _Refused("holds too much")  # 2
            target.write(chunk)


def _extract(tar: tarfile.TarFile, target: Path, room: Room) -> None:
    target.mkdir(parents=True)
    folders: set[str] = set()
    for member in tar:
        path = _path(member, folders)
        room.files -= 1
        room.bytes -= member.size
        if member.size < 0 or room.files < 0 or room.bytes < 0:  # 2
            raise _Refused("holds too much")
        place = target.joinpath(*path.parts)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        if source is None:
            raise _Refused("holds what is no file")
        with source, place.open("xb") as file:  # 4
            shutil.copyfileobj(source, file, _CHUNK // 4)
        place.chmod(0o755 if member.mode & 0o111 else 0o644)  # 5


def _path(member: tarfile.TarInfo, folders: set[str]) -> PurePosixPath:
    """Where a member goes, below the archive's one folder."""
    shown = ascii(member.name[:200])
    if not (member.isreg() or member.isdir()) or member.issparse():  # 3
        raise _Refused(f"holds {shown}, which is neither a file nor a directory")
    path = PurePosixPath(member.name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in member.name or not member.name.isprintable()
    if unsafe or len(member.name.encode("utf-8", "replace")) > _MAX_PATH_BYTES:  # 4
        raise _Refused(f"holds {shown}, which is no path inside it")
    folders.update(path.parts[:1])
    if len(folders) > 1 or (member.isreg() and len(path.parts) < 2):  # 3
        raise _Refused(f"holds {shown} outside its one folder")
    inside = PurePosixPath(*path.parts[1:])
    if inside.parts[:1] == ("node_modules",):  # 4
        raise _Refused("brings packages of its own in node_modules, which have no hashes")
    return inside


def _refuse_by_manifest(target: Path, entry: NpmEntry, platform: NpmPlatform) -> None:
    manifest = _manifest(target / "package.json")
    version = str(manifest.get("version")).removeprefix("=").removeprefix("v")
    if (manifest.get("name"), version) != (entry.name, entry.version):  # 6
        raise _Refused("says in package.json that it is another package or version")
    scripts: object = manifest.get("scripts")
    named = cast("dict[str, object]", scripts) if isinstance(scripts, dict) else {}
    found = next(_installing(named, target), None)
    if found is not None:  # 6
        raise _Refused(f"has {found} to be installed, which never runs here; take a package without")
    if unfit := why_unfit(manifest, platform):  # 6
        raise _Refused(f"says in package.json, other than the registry, that the package {unfit}")


def _installing(scripts: dict[str, object], target: Path) -> Iterator[str]:
    yield from (f"the script {name}" for name in _INSTALL_SCRIPTS if scripts.get(name))
    if (target / "binding.gyp").exists():
        yield "native code to compile (binding.gyp)"


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > _CHUNK:
        raise _Refused("has no package.json, or one that is too large")
    found: object = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(found, dict):
        raise _Refused("has a package.json that is no object")
    return cast("dict[str, Any]", found)
