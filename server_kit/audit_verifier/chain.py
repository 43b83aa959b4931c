"""Steps 1 to 4: one log, line by line."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from server_kit.audit_verifier.encoding import (
    URL_SAFE,
    blocks_of,
    canonical,
    digest_of,
    file_digest,
    json_object,
)
from server_kit.audit_verifier.report import Report, Tokens
from server_kit.audit_verifier.shapes import (
    CONTROL,
    ENTRY_HASH,
    EVENT,
    HASH_BEFORE,
    PREVIOUS_HASH,
    SEQUENCE,
    SUBJECT,
    Places,
    Shapes,
    Texts,
)
from server_kit.audit_verifier.signatures import Keys

_HASH_LENGTH: Final = HASH_BEFORE + len('sha-256:",') + 43
_CONTROL: Final = CONTROL.replace(b"\n", b"")
_DIGEST: Final = b"action_digest"
_TOKEN: Final = b"token_id"
_REQUEST: Final = b"request_id"
_STATUS: Final = b"status"
_SIGNATURE: Final = b"signature"
_NAMED: Final = frozenset({_DIGEST, _TOKEN, _REQUEST, _STATUS, _SIGNATURE})

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_CHECKPOINT: Final = ("at", "chain", "entry_hash", "key_id", "sequence", "type")
_SEGMENT: Final = (
    *("at", "chain", "entries", "file_digest", "file_name", "first_sequence", "key_id", "last_hash"),
    *("last_sequence", "previous_hash", "type"),
)


class ChainVerifier:
    """Follows one log, line by line; from its beginning, or from behind `start` (sequence number, hash).

    Of an `archived_part` alone the steps that look back over the whole log are left out.
    """

    def __init__(
        self,
        chain: str,
        keys: Keys,
        *,
        segments: Path | None = None,
        start: tuple[int, str] | None = None,
        archived_part: bool = False,
    ) -> None:
        self.report = Report(chain)
        self.tokens = Tokens()
        self._keys = keys
        self._segments = segments
        self._watched = {} if archived_part else _WATCHED
        self._shapes = Shapes(chain, _NAMED)
        self._sequence = 0
        self._previous = digest_of(canonical({"chain": chain, "type": "hitl-audit-genesis"}))
        if start is not None:
            self._sequence, self._previous = start[0], start[1].encode()
        self._awaited: dict[int, set[str]] = {}
        self._late: dict[int, set[str]] = {}
        self._last_mark = 0
        self._records: dict[str, int] = {}
        self._named: set[str] = set()

    def feed(self, lines: bytes) -> None:
        """Take whole lines of an export or a segment.

        The usual line is the next entry in canonical form, told by its shape: its bytes are what was hashed.
        All is in one loop, since it is done a hundred thousand times a second.
        """
        regular = lines.isascii() and b"\\" not in lines and not any(each in lines for each in _CONTROL)
        shapes, watched, awaited, report = self._shapes.by_length, self._watched, self._awaited, self.report
        begin, whole = 0, len(lines)
        while begin < whole:
            end = lines.find(b"\n", begin)
            if end < 0:
                end = whole
            shape = shapes.get(end - begin) if regular else None
            match = None if shape is None else shape.fullmatch(lines, begin, end)
            if shape is None or match is None:
                self._feed_one(lines[begin:end])
                begin = end + 1
                continue
            texts = match.groups()
            number, stated = self._sequence + 1, texts[ENTRY_HASH]
            at = match.start(shape.hash_group) - HASH_BEFORE
            digest = sha256(lines[begin:at] + lines[at + _HASH_LENGTH : end]).digest()
            if (
                b2a_base64(digest).translate(URL_SAFE, b"=\n") != stated[8:]
                or texts[PREVIOUS_HASH] != self._previous
                or texts[SEQUENCE] != b"%d" % number
                or stated[:8] != b"sha-256:"
            ):
                self._feed_other(lines[begin:end])
                begin = end + 1
                continue
            begin = end + 1
            self._sequence, self._previous = number, stated
            report.entries += 1
            if number in awaited:
                self._compare_awaited(number)
            watch = watched.get(texts[EVENT])
            if watch is not None:
                watch(self, texts[SUBJECT], texts, shape.places)

    def _feed_one(self, line: bytes) -> None:
        """A line of a shape not seen yet, or with escapes, or beyond ASCII, or of another kind."""
        found = self._shapes.entry(line)
        if found is not None:
            texts, places, at = found
            number, stated = self._sequence + 1, texts[ENTRY_HASH]
            if (
                texts[PREVIOUS_HASH] == self._previous
                and texts[SEQUENCE] == b"%d" % number
                and digest_of(line[:at] + line[at + _HASH_LENGTH :]) == stated
            ):
                self._advance(number, stated)
                watch = self._watched.get(texts[EVENT])
                if watch is not None:
                    watch(self, texts[SUBJECT], texts, places)
                return
        self._feed_other(line)

    def _feed_other(self, line: bytes) -> None:
        if not line:
            return
        record = json_object(line)
        if record is None:
            message = "a line is no JSON object, or names a field of one twice"
            self.report.add("malformed", self._sequence + 1, message)
        elif record.get("type") == "hitl-audit-checkpoint":
            self.checkpoint(record)
        elif record.get("type") == "hitl-audit-segment":
            self._segment(record)
        else:
            self._feed_any_entry(record)

    def _feed_any_entry(self, entry: dict[str, Any]) -> None:
        """Any other entry: says what is wrong with it."""
        stated, sequence, details = entry.get("entry_hash"), entry.get("sequence"), entry.get("details")
        if not isinstance(stated, str) or type(sequence) is not int or not isinstance(details, dict):
            self.report.add(
                "malformed", self._sequence + 1, "a line is neither entry, checkpoint nor segment"
            )
            return
        if entry.get("chain") != self.report.chain:
            self.report.add("foreign_entry", sequence, f"belongs to the log {str(entry.get('chain'))!a}")
        if sequence > self._sequence + 1:
            missing = f"entries {self._sequence + 1} to {sequence - 1} are missing"
            self.report.add("missing_entries", sequence, missing)
        elif sequence <= self._sequence:
            self.report.add("out_of_order", sequence, f"comes after entry {self._sequence}")
        if entry.get("previous_hash") != self._head:
            self.report.add("broken_link", sequence, "does not continue the entry before it")
        body = {name: value for name, value in entry.items() if name != "entry_hash"}
        try:
            sealed = digest_of(canonical(body)) == stated.encode()
        except (UnicodeEncodeError, RecursionError):
            sealed = False  # nothing without a canonical form is ever sealed
        if not sealed:
            self.report.add("edited_entry", sequence, "its content is not what was sealed")
        self._advance(sequence, stated.encode("utf-8", "replace"))
        watch = self._watched.get(str(entry.get("event")).encode("utf-8", "replace"))
        if watch is not None:
            found = {
                name.encode("utf-8", "replace"): value.encode("utf-8", "replace")
                for name, value in cast("dict[str, object]", details).items()
                if isinstance(value, str)
            }
            subject = str(entry.get("subject")).encode("utf-8", "replace")
            watch(self, subject, tuple(found.values()), {name: at for at, name in enumerate(found)})

    @property
    def _head(self) -> str:
        return self._previous.decode("ascii", "replace")

    def _advance(self, sequence: int, entry_hash: bytes) -> None:
        self.report.entries += 1
        self._sequence, self._previous = sequence, entry_hash
        if sequence in self._awaited:
            self._compare_awaited(sequence)

    def _compare_awaited(self, sequence: int) -> None:
        for wanted in self._awaited.pop(sequence):
            self._compare(sequence, wanted)

    def _compare(self, sequence: int, wanted: str) -> None:
        if self._head != wanted:
            self.report.add("forked", sequence, "is not the entry that was on record")

    def checkpoint(self, record: Mapping[str, Any]) -> None:
        """Take one checkpoint, whose entry may come before it or after it."""
        sequence = record.get("sequence")
        signed = record.get("chain") == self.report.chain and self._keys.signed(record, _CHECKPOINT)
        if not signed or type(sequence) is not int:
            message = "a checkpoint there is not signed for this log by a given key"
            self.report.add("bad_signature", sequence if type(sequence) is int else 0, message)
            return
        self.report.checkpoints += 1
        self._last_mark = max(self._last_mark, sequence)
        if sequence == self._sequence:
            self._compare(sequence, record["entry_hash"])
        else:
            place = self._awaited if sequence > self._sequence else self._late
            place.setdefault(sequence, set()).add(record["entry_hash"])

    def _segment(self, record: Mapping[str, Any]) -> None:
        if record.get("chain") != self.report.chain or not self._keys.signed(record, _SEGMENT):
            self.report.add("bad_signature", 0, "a segment record is not signed for this log by a given key")
            return
        first, last = int(record["first_sequence"]), int(record["last_sequence"])
        self.report.segments += 1
        self._records[str(record["signature"])] = first
        if first != self._sequence + 1 or record["previous_hash"] != self._head:
            self.report.add("missing_segment", first, "the segment does not continue what comes before it")
        problem = self._read_segment(record)
        if problem is not None:
            self.report.add(problem[0], first, problem[1])
        elif (self._sequence, self._head) != (last, record["last_hash"]):
            self.report.add("edited_segment", first, "the segment's file does not end where its record says")
        self._sequence, self._previous = last, str(record["last_hash"]).encode()
        self._last_mark = max(self._last_mark, last)

    def _read_segment(self, record: Mapping[str, Any]) -> tuple[str, str] | None:
        name = str(record["file_name"])
        if self._segments is None or not _FILE_NAME.fullmatch(name):
            return "missing_segment", f"the segment {name[:80]!a} was not given"
        path = self._segments / name
        try:
            if file_digest(path) != record["file_digest"]:
                return "edited_segment", f"the file {name} is not the one that was sealed"
            before = self.report.entries
            for lines in blocks_of(path):
                self.feed(lines)
        except FileNotFoundError:
            return "missing_segment", f"the file {name} is not there"
        except (OSError, EOFError) as error:
            return "edited_segment", f"the file {name} cannot be read ({type(error).__name__})"
        if self.report.entries - before != record["entries"]:
            return "edited_segment", f"the file {name} does not hold as many entries as its record says"
        return None

    def finish(self, again: Callable[[], Iterable[bytes]], *, remembered: int = 0) -> Report:
        """Close the books. `again` gives the lines anew, for checkpoints that came behind their entry."""
        report = self.report
        if self._late:
            self._compare_late(again())
        for sequence in sorted(self._awaited):
            kind = "rolled_back" if sequence == remembered else "cut_tail"
            report.add(kind, sequence, f"was on record, and the log ends at {self._sequence}")
        for signature in self._records.keys() - self._named:
            report.add("bad_signature", self._records[signature], "no entry of the log names this segment")
        for _ in self._named - self._records.keys():
            report.add("missing_segment", 0, "an entry names a segment whose record was not given")
        report.head_sequence, report.head_hash = self._sequence, self._head
        report.unsigned_tail = max(0, self._sequence - self._last_mark)
        return report

    def _compare_late(self, lines: Iterable[bytes]) -> None:
        found: dict[int, str] = {}
        for line in lines:
            entry = json_object(line) if b'"previous_hash"' in line else None
            if entry is not None and entry.get("sequence") in self._late and "entry_hash" in entry:
                found[entry["sequence"]] = entry["entry_hash"]
        for sequence, hashes in self._late.items():
            if hashes != {found.get(sequence)}:
                self.report.add("forked", sequence, "is not the entry that was on record")

    def approved(self, subject: bytes, texts: Texts, places: Places) -> None:
        """Step 4, first half: how far a request got."""
        status = places.get(_STATUS)
        if status is not None and texts[status] == b"APPROVED":
            self.tokens.approved[subject] = _text(texts, places, _DIGEST)

    def allowed(self, subject: bytes, texts: Texts, places: Places) -> None:
        """A rule, or a timeout that a rule lets approve, approved it."""
        self.tokens.approved[subject] = _text(texts, places, _DIGEST)

    def revoked(self, subject: bytes, _texts: Texts, _places: Places) -> None:
        self.tokens.approved.pop(subject, None)

    def minted(self, subject: bytes, texts: Texts, places: Places) -> None:
        """Step 4, second half."""
        at, place = places.get(_DIGEST), places.get(_TOKEN)
        digest = b"" if at is None else texts[at]
        if not digest or self.tokens.approved.get(subject) != digest:
            message = "a token was minted with no approval before it"
            self.report.add("unapproved_token", self._sequence, message)
        self.tokens.minted[b"" if place is None else texts[place]] = (subject, digest)

    def ran(self, _subject: bytes, texts: Texts, places: Places) -> None:
        token, request = _text(texts, places, _TOKEN), _text(texts, places, _REQUEST)
        self.tokens.started.append((self._sequence, token, request, _text(texts, places, _DIGEST)))

    def archived(self, _subject: bytes, texts: Texts, places: Places) -> None:
        self._named.add(_text(texts, places, _SIGNATURE).decode("utf-8", "replace"))


def _text(texts: Texts, places: Places, name: bytes) -> bytes:
    """The text of that field of an entry's details; empty when it has none."""
    place = places.get(name)
    return b"" if place is None else texts[place]


_WATCHED: Final[dict[bytes, Callable[[ChainVerifier, bytes, Texts, Places], None]]] = {
    b"request.created": ChainVerifier.approved,
    b"request.decided": ChainVerifier.approved,
    b"request.allowed_by_rule": ChainVerifier.allowed,
    b"request.unsafely_approved_by_timeout": ChainVerifier.allowed,
    b"request.edited": ChainVerifier.revoked,
    b"request.revoked": ChainVerifier.revoked,
    b"token.minted": ChainVerifier.minted,
    b"execution.started": ChainVerifier.ran,
    b"audit.segment_archived": ChainVerifier.archived,
}
