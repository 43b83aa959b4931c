"""A layer: a directory of regular files that nobody writes, named by the digest of what it holds.

1. Regular files and directories alone: a link or a device in it is refused.
2. Nobody may write, everybody may read; a file is executable or not, and has no other rights.
3. The digest is SHA-256 over the RFC 8785 bytes of every file's path, size, executability and SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from executor_mcp.packages.errors import LayerBroken, PackageNotInstallable
from hitl_contract.canonical import canonical_json, digest_of_bytes

MAX_FILES = 200_000
MAX_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True)
class LayerFacts:
    digest: str
    size_bytes: int


def seal(root: Path) -> LayerFacts:
    """Makes a directory a layer. Raises PackageNotInstallable for what no layer may hold."""
    try:
        for directory, names, files in os.walk(root):
            for path in (Path(directory) / name for name in (*names, *files)):
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode):
                    path.chmod(0o555 if mode & 0o111 else 0o444)  # 2
                elif not stat.S_ISDIR(mode):  # 1
                    raise PackageNotInstallable(f"{path.relative_to(root)} is neither a file nor a directory")
        facts = measure(root)
        for directory, _, _ in os.walk(root, topdown=False):
            Path(directory).chmod(0o555)
    except LayerBroken as error:
        raise PackageNotInstallable(str(error)) from error
    return facts


def measure(root: Path) -> LayerFacts:
    """The digest of what lies there now. Raises LayerBroken."""
    files: list[dict[str, str | int | bool]] = []
    total = 0
    for path, found in _regular_files(root):
        total += found.st_size
        if len(files) >= MAX_FILES or total > MAX_BYTES:
            raise LayerBroken(f"{root.name} has more than {MAX_FILES} files or {MAX_BYTES} bytes")
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(root).as_posix()
        executable = bool(found.st_mode & 0o111)
        files.append({"path": name, "size": found.st_size, "executable": executable, "sha256": content})
    files.sort(key=lambda file: str(file["path"]))
    return LayerFacts(digest_of_bytes(canonical_json({"files": files})), total)  # 3


def remove_tree(root: Path) -> None:
    """Removes a layer, which nobody may write, or what was to become one."""
    for directory, _, _ in os.walk(root):
        Path(directory).chmod(0o700)
    shutil.rmtree(root, ignore_errors=True)


def _regular_files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if not root.is_dir():
        raise LayerBroken(f"the directory {root} is not there")
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory) / name
            try:
                found = path.lstat()
            except OSError as error:
                raise LayerBroken(f"{path} cannot be read: {error.strerror}") from error
            if stat.S_ISREG(found.st_mode):
                yield path, found
            elif not stat.S_ISDIR(found.st_mode):
                raise LayerBroken(f"{path.relative_to(root)} is neither a file nor a directory")
