"""Sends back what a program left in its work directory. Part of the supervisor's source."""

from __future__ import annotations

import errno
import os
import stat
import struct

from supervisor_wire import FILE, FILE_DATA, FRAME_BYTES, Report, sha256

# The first to be sent: of a run that was stopped there may be time for no more.
CHECKPOINT = "checkpoint.json"
FEW_FILES = 16
"""So many in one folder are looked at before the host hears how the program ended."""


class Collector:
    """Sends the regular files of the work directory that are new or changed, within bounds."""

    def __init__(self, report: Report, work: str, given: dict[str, bytes], bounds: dict[str, int]) -> None:
        self._report = report
        self._work = work
        self._given = given
        self._files = bounds["files"]
        self._bytes = bounds["bytes"]
        self._entries = bounds["entries"]
        self._depth = bounds["depth"]
        self.truncated = False

    def collect(self) -> None:
        try:
            # gVisor follows the link that O_NOFOLLOW and O_DIRECTORY together refuse.
            if not stat.S_ISDIR(os.lstat(self._work).st_mode):
                self.truncated = True
                return
            self._directory(os.open(self._work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW), "", 0)
        except OSError:
            self.truncated = True

    def _directory(self, directory: int, prefix: str, depth: int) -> None:
        try:
            with os.scandir(directory) as entries:
                names: list[str] = []
                for entry in entries:
                    if self._entries == 0:
                        self.truncated = True
                        break
                    self._entries -= 1
                    names.append(entry.name)
            if depth or len(names) > FEW_FILES:
                # Looking takes a while: how the program ended is told before.
                self._report.flush()
            for name in sorted(names, key=lambda name: (bool(prefix) or name != CHECKPOINT, name)):
                self._entry(directory, name, prefix, depth)
        finally:
            os.close(directory)

    def _entry(self, directory: int, name: str, prefix: str, depth: int) -> None:
        try:
            kind = stat.S_IFMT(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
            if kind == stat.S_IFDIR:
                if depth >= self._depth:
                    self.truncated = True
                    return
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                self._directory(os.open(name, flags, dir_fd=directory), prefix + name + "/", depth + 1)
            elif kind == stat.S_IFREG:
                self._file(directory, name, prefix + name)
        except OSError as error:
            # A program can take its own permissions away; what cannot be read is left out and said so.
            self.truncated = self.truncated or error.errno != errno.ENOENT

    def _file(self, directory: int, name: str, path: str) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        try:
            size = os.fstat(descriptor).st_size
            if size > FRAME_BYTES:
                self._report.flush()
            if path in self._given and self._digest(descriptor) == self._given[path]:
                return
            if self._files == 0 or size > self._bytes:
                self.truncated = True
                return
            self._files -= 1
            self._bytes -= size
            os.lseek(descriptor, 0, os.SEEK_SET)
            self._report.send(FILE, struct.pack(">Q", size) + os.fsencode(path))
            while size:
                chunk = os.read(descriptor, min(size, FRAME_BYTES))
                self._report.send(FILE_DATA, chunk)
                size -= len(chunk)
        finally:
            os.close(descriptor)

    @staticmethod
    def _digest(descriptor: int) -> bytes:
        digest = sha256()
        while chunk := os.read(descriptor, FRAME_BYTES):
            digest.update(chunk)
        return digest.digest()
