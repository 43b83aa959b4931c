"""The durable journal of one run of steps: one JSON line per fact, on disk before what follows it happens.

A line carries the digest of its content, so that a damaged one is found. A last line that a crash cut short
never counted, and is cut off.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from pydantic import JsonValue

from hitl_contract.canonical import canonical_json, digest_of_bytes, parse_strict_json
from hitl_contract.errors import CanonicalizationError
from hitl_mcp.gate.errors import JournalRefused

_RUN_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class Journal:
    """The entries of one run, oldest first."""

    def __init__(self, path: Path, descriptor: int, entries: list[dict[str, JsonValue]]) -> None:
        self._path = path
        self._descriptor = descriptor
        self.entries = entries

    @classmethod
    @contextmanager
    def open(cls, directory: Path, run_id: str) -> Generator[Journal]:
        """Raises JournalRefused: the run id is no plain name, the run goes on elsewhere, or it is damaged."""
        if not _RUN_ID.fullmatch(run_id):
            raise JournalRefused(
                f"{run_id[:40]!r} is no name for a run: letters, digits, '.', '_' and '-', at most 100."
            )
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / f"{run_id}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise JournalRefused(f"The run {run_id} is going on in another process.") from None
            yield cls(path, descriptor, _read(path, descriptor))
        finally:
            os.close(descriptor)

    def append(self, entry: dict[str, JsonValue]) -> None:
        """Write one entry durably.

        Raises:
            JournalRefused: it has no exact form in JSON, such as a result that is not plain.
            OSError: it could not be written.
        """
        try:
            content = canonical_json(entry)
        except CanonicalizationError as error:
            raise JournalRefused(f"What a step returned cannot be kept: {error}") from error
        line = canonical_json({"entry": entry, "digest": digest_of_bytes(content)}) + b"\n"
        if os.write(self._descriptor, line) != len(line):
            raise OSError(f"{self._path} could not be written whole")
        os.fsync(self._descriptor)
        self.entries.append(cast("dict[str, JsonValue]", parse_strict_json(content)))


def _read(path: Path, descriptor: int) -> list[dict[str, JsonValue]]:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) != len(content):
        os.ftruncate(descriptor, len(whole))
    return [_entry(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]


def _entry(path: Path, number: int, line: bytes) -> dict[str, JsonValue]:
    try:
        document = cast("dict[str, Any]", parse_strict_json(line))
        entry, digest = cast("dict[str, JsonValue]", document["entry"]), document["digest"]
        if isinstance(entry.get("step"), str) and digest_of_bytes(canonical_json(entry)) == digest:
            return entry
    except (CanonicalizationError, KeyError, TypeError, AttributeError):
        pass
    raise JournalRefused(f"{path}, line {number} is damaged. Start a new run, after checking what was done.")
