"""A memory of the audit log outside of its database: without it a database put back to an earlier state looks
intact.

The file has one signed checkpoint per line and is only ever appended to, by every process of the server on
this machine.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from hitl_contract.audit_chain import Checkpoint, checkpoint_from_json, checkpoint_to_json
from hitl_contract.errors import ContractError
from server_kit.errors import AuditUnavailable


class Witness:
    """Reads and appends to the file. All methods block on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return every checkpoint; an unfinished last line, left by a crash, is passed over.

        Raises AuditUnavailable when the file cannot be read or has a line that is no checkpoint.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise AuditUnavailable(
                f"the audit witness {self.path} cannot be read: {error.strerror}"
            ) from error
        *lines, _unfinished = content.split(b"\n")
        return tuple(self._parse(line, number) for number, line in enumerate(lines, 1) if line)

    def prepare(self) -> None:
        """Make the file, before the first checkpoint is signed: from then on its absence is a loss."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise AuditUnavailable(
                f"the audit witness {self.path} cannot be written: {error.strerror}"
            ) from error

    def is_lost(self, checkpoints_in_database: int) -> bool:
        """Whether the witness was removed or emptied since the log was first signed.

        A crash between the commit of the very first checkpoint and its line here leaves a file without lines.
        """
        try:
            size = self.path.stat().st_size
        except OSError:
            return checkpoints_in_database > 0
        return size == 0 and checkpoints_in_database > 1

    def loss(self) -> str:
        """What is said about a lost witness."""
        return (
            f"the audit witness {self.path} is gone, and with it the proof that the database was not put "
            "back to an earlier state; restore the file, or copy it from another replica; if it is really "
            "lost, look at `audit verify` and run `audit new-witness`"
        )

    def set_aside(self, suffix: str) -> Path | None:
        """Move the file away, keeping it, and begin an empty one. Returns where it went."""
        kept: Path | None = None
        try:
            if self.path.exists():
                kept = self.path.with_name(f"{self.path.name}.{suffix}")
                self.path.rename(kept)
        except OSError as error:
            raise AuditUnavailable(
                f"the audit witness {self.path} cannot be moved: {error.strerror}"
            ) from error
        self.prepare()
        return kept

    def _parse(self, line: bytes, number: int) -> Checkpoint:
        try:
            return checkpoint_from_json(json.loads(line))
        except (ValueError, ContractError) as error:
            message = f"the audit witness {self.path} has no checkpoint in line {number}: {error}"
            raise AuditUnavailable(message) from error

    def append(self, checkpoint: Checkpoint) -> None:
        """Add a checkpoint and return when it is on the disk. Raises AuditUnavailable."""
        line = json.dumps(checkpoint_to_json(checkpoint), separators=(",", ":")).encode() + b"\n"
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                # Another process may be in the middle of a line, which is not the rest of a crash.
                fcntl.flock(file, fcntl.LOCK_EX)
                self._drop_unfinished_line(file)
                os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise AuditUnavailable(
                f"the audit witness {self.path} cannot be written: {error.strerror}"
            ) from error

    @staticmethod
    def _drop_unfinished_line(file: int) -> None:
        size = os.fstat(file).st_size
        tail = os.pread(file, 65536, max(0, size - 65536))
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(file, size - len(tail) + tail.rfind(b"\n") + 1)
