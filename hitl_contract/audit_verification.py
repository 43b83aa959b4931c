"""Verification of an audit chain, offline: entries and checkpoints in, every problem out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import JsonValue

from hitl_contract.audit_chain import AuditEntry, Checkpoint, checkpoint_is_signed, genesis_hash, link_hash
from hitl_contract.keys import PublicKeys

_MAX_PROBLEMS: Final = 100


class ChainProblemKind(StrEnum):
    """What an inspection can find."""

    FOREIGN_ENTRY = "foreign_entry"
    MISSING_ENTRIES = "missing_entries"
    OUT_OF_ORDER = "out_of_order"
    BROKEN_LINK = "broken_link"
    EDITED_ENTRY = "edited_entry"
    CUT_TAIL = "cut_tail"
    FORKED = "forked"
    BAD_SIGNATURE = "bad_signature"
    ROLLED_BACK = "rolled_back"
    MALFORMED = "malformed"
    MISSING_SEGMENT = "missing_segment"
    EDITED_SEGMENT = "edited_segment"
    WITNESS_MISSING = "witness_missing"
    UNAPPROVED_TOKEN = "unapproved_token"  # noqa: S105 - a kind of problem
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a kind of problem
    EXECUTED_TWICE = "executed_twice"


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """One problem, at the sequence number where it shows."""

    kind: ChainProblemKind
    sequence: int
    message: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The outcome. ``unsigned_tail`` counts the entries behind the last checkpoint or segment."""

    entries: int
    checkpoints: int
    head_sequence: int
    head_hash: str
    unsigned_tail: int
    problems: tuple[ChainProblem, ...]
    segments: int = 0

    @property
    def intact(self) -> bool:
        """True where nothing at all was found."""
        return not self.problems


def report_to_json(report: ChainReport) -> dict[str, JsonValue]:
    """The report as commands and the API answer it."""
    return {
        "intact": report.intact,
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "segments": report.segments,
        "head_sequence": report.head_sequence,
        "head_hash": report.head_hash,
        "unsigned_tail": report.unsigned_tail,
        "problems": [
            {"kind": problem.kind.value, "sequence": problem.sequence, "message": problem.message}
            for problem in report.problems
        ],
    }


def verify_chain(
    entries: Iterable[AuditEntry],
    *,
    chain: str,
    checkpoints: Iterable[Checkpoint],
    keys: PublicKeys,
    expected_head: tuple[int, str] | None = None,
) -> ChainReport:
    """Check a whole chain from its first entry.

    1. Every entry belongs to this chain, and sequence numbers run 1, 2, 3 without gap, repeat or reorder.
    2. Every entry names its predecessor's hash.
    3. Every entry's own hash is that of its content.
    4. Every checkpoint is signed by a known key for this chain.
    5. Every checkpoint's position exists (else the tail was cut) and has its hash (else the chain was forked
       or computed anew).
    6. The head is at least ``expected_head`` (sequence, hash), where the caller remembers one: else a
       rollback.

    Args:
        entries: in the order in which they are stored; read once, so any number fits in memory.
    """
    problems = _Problems()
    marks = _trusted_checkpoints(checkpoints, chain, keys, problems)  # 4
    wanted = {mark.sequence for mark in marks}
    if expected_head is not None:
        wanted.add(expected_head[0])
    seen: dict[int, str] = {}
    count, sequence, previous = 0, 0, genesis_hash(chain)
    for entry in entries:
        count += 1
        if entry.chain != chain or entry.sequence != sequence + 1:  # 1
            _misplaced(entry, chain, sequence, problems)
        if entry.previous_hash != previous:  # 2
            problems.add(
                ChainProblemKind.BROKEN_LINK, entry.sequence, "does not continue the entry before it"
            )
        if link_hash(entry) != entry.entry_hash:  # 3
            problems.add(ChainProblemKind.EDITED_ENTRY, entry.sequence, "its content is not what was sealed")
        sequence, previous = entry.sequence, entry.entry_hash
        if sequence in wanted:
            seen[sequence] = previous
    for mark in marks:  # 5
        _compare(mark.sequence, mark.entry_hash, seen, sequence, problems, ChainProblemKind.CUT_TAIL)
    if expected_head is not None and expected_head[0] > 0:  # 6
        _compare(*expected_head, seen, sequence, problems, ChainProblemKind.ROLLED_BACK)
    last_mark = max((mark.sequence for mark in marks), default=0)
    return ChainReport(count, len(marks), sequence, previous, max(0, sequence - last_mark), problems.found())


class _Problems:
    def __init__(self) -> None:
        self._found: list[ChainProblem] = []

    def add(self, kind: ChainProblemKind, sequence: int, message: str) -> None:
        if len(self._found) < _MAX_PROBLEMS:
            self._found.append(ChainProblem(kind, sequence, f"entry {sequence}: {message}"))

    def found(self) -> tuple[ChainProblem, ...]:
        return tuple(self._found)


def _misplaced(entry: AuditEntry, chain: str, sequence: int, problems: _Problems) -> None:
    if entry.chain != chain:
        problems.add(ChainProblemKind.FOREIGN_ENTRY, entry.sequence, f"belongs to the chain {entry.chain!a}")
    if entry.sequence > sequence + 1:
        missing = f"entries {sequence + 1} to {entry.sequence - 1} are missing"
        problems.add(ChainProblemKind.MISSING_ENTRIES, entry.sequence, missing)
    elif entry.sequence <= sequence:
        problems.add(ChainProblemKind.OUT_OF_ORDER, entry.sequence, f"comes after entry {sequence}")


def _trusted_checkpoints(
    checkpoints: Iterable[Checkpoint], chain: str, keys: PublicKeys, problems: _Problems
) -> list[Checkpoint]:
    trusted: list[Checkpoint] = []
    for checkpoint in checkpoints:
        if checkpoint.chain == chain and checkpoint_is_signed(checkpoint, keys):
            trusted.append(checkpoint)
        else:
            message = "a checkpoint there is not signed for this chain by a known key"
            problems.add(ChainProblemKind.BAD_SIGNATURE, checkpoint.sequence, message)
    return trusted


def _compare(
    sequence: int, wanted: str, seen: dict[int, str], head: int, problems: _Problems, beyond: ChainProblemKind
) -> None:
    if sequence > head:
        problems.add(beyond, sequence, f"was on record, and the log ends at {head}")
    elif seen.get(sequence) != wanted:
        problems.add(ChainProblemKind.FORKED, sequence, "is not the entry that was on record")
