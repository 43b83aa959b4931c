"""Sends back what a program left in its work directory. Part of the supervisor's source."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time

from supervisor_wire import CHECKPOINT, FILE, FILE_DATA, FRAME_BYTES, Report, sha256

# The first to be sent: of a run that was stopped there may be time for no more.
CHECKPOINT_NAME = "checkpoint.json"
CHECKPOINT_BYTES = 256 * 1024
SETTLED_SECONDS = 1.0
FEW_FILES = 16
"""So many in one folder are looked at before the host hears how the program ended."""


class Collector:
    """Sends the regular files of the work directory that are new or changed, within bounds."""

    def __init__(self, report: Report, work: str, given: dict[str, str], bounds: dict[str, int]) -> None:
        self._report = report
        self._work = work
        self._given = given
        self._files = bounds["files"]
        self._bytes = bounds["bytes"]
        self._entries = bounds["entries"]
        self._depth = bounds["depth"]
        self.truncated = False

    def finds_nothing(self) -> bool:
        """Whether there are only the files that were given, as they were given; a look at a few."""
        try:
            with os.scandir(self._work) as entries:
                names = [entry.name for _, entry in zip(range(FEW_FILES), entries)]  # noqa: B905
            return (
                len(names) < FEW_FILES
                and not os.path.islink(self._work)
                and all(self._is_as_given(name) for name in names)
            )
        except OSError:
            return False

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
            for name in sorted(names, key=lambda name: (bool(prefix) or name != CHECKPOINT_NAME, name)):
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

    def _is_as_given(self, name: str) -> bool:
        if name not in self._given:
            return False
        descriptor = os.open(self._work + "/" + name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            return (
                stat.S_ISREG(found.st_mode)
                and found.st_size <= FRAME_BYTES
                and self._digest(descriptor) == self._given[name]
            )
        finally:
            os.close(descriptor)

    @staticmethod
    def _digest(descriptor: int) -> str:
        digest = sha256()
        while chunk := os.read(descriptor, FRAME_BYTES):
            digest.update(chunk)
        return digest.hexdigest()


class CheckpointLook:
    """Sends the checkpoint of a program that runs, when it is complete and was not sent before."""

    def __init__(self, work: str) -> None:
        self._work = work
        self._sent: tuple[int, ...] = ()

    def send(self, report: Report) -> None:
        """In pieces, and a last one that is empty; that one alone where there is nothing to be sent."""
        try:
            content = self._content()
        except OSError:
            content = b""
        for place in range(0, len(content), FRAME_BYTES):
            report.send(CHECKPOINT, content[place : place + FRAME_BYTES])
        report.send(CHECKPOINT)

    def _content(self) -> bytes:
        if not stat.S_ISDIR(os.lstat(self._work).st_mode):
            return b""
        directory = os.open(self._work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(CHECKPOINT_NAME, flags, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            return self._read(descriptor)
        finally:
            # The lease, if there is one, ends with it: somebody may wait to write.
            os.close(descriptor)

    def _read(self, descriptor: int) -> bytes:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not is_complete(descriptor):
            return b""
        before = state(descriptor)
        size = before[1]
        if before == self._sent or not 0 < size <= CHECKPOINT_BYTES:
            return b""
        content = b""
        while len(content) <= size and (chunk := os.read(descriptor, FRAME_BYTES)):
            content += chunk
        if len(content) != size or state(descriptor) != before:
            return b""
        # A file's times are those of the last tick: one that changed just now may change again in the same.
        self._sent = before if age(descriptor) > SETTLED_SECONDS else ()
        return content


def is_complete(descriptor: int) -> bool:
    """Whether nobody has the file open for writing; by a lease of the kernel's, or else by its rest."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    except OSError:
        return age(descriptor) > SETTLED_SECONDS
    return True


def age(descriptor: int) -> float:
    return time.time() - os.fstat(descriptor).st_mtime


def state(descriptor: int) -> tuple[int, ...]:
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
