"""Steps 1 to 4: one log, line by line."""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from server_kit.audit_verifier.encoding import (
    URL_SAFE,
    base64url,
    canonical,
    file_digest,
    json_object,
    lines_of,
)
from server_kit.audit_verifier.report import Report, Tokens
from server_kit.audit_verifier.signatures import Keys

_HASH: Final = b'"entry_hash":"sha-256:'
_EVENT: Final = b'","event":"'
_APPROVED: Final = b'"status":"APPROVED"'
_DIGEST: Final = b'"action_digest":"'
_TOKEN: Final = b'"token_id":"'

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
        self._marker = b'","chain":%b,"details":{' % json.dumps(chain).encode()
        self._sequence = 0
        genesis = canonical({"chain": chain, "type": "hitl-audit-genesis"})
        self._previous = base64url(hashlib.sha256(genesis).digest())
        if start is not None:
            self._sequence, self._previous = start[0], start[1].removeprefix("sha-256:").encode()
        self._awaited: dict[int, set[str]] = {}
        self._late: dict[int, set[str]] = {}
        self._last_mark = 0
        self._records: dict[str, int] = {}
        self._named: set[str] = set()

    def feed(self, line: bytes) -> None:
        """Take one line of an export or a segment.

        The usual one, the next entry in canonical form, is told apart by its quotes, without parsing.
        """
        number = self._sequence + 1
        middle = b'","previous_hash":"sha-256:%b","sequence":%d,"subject":"' % (self._previous, number)
        subject = line.rfind(b'"', 0, -3) + 1
        split = subject - len(middle)
        event = line.rfind(b'"', 0, split) + 1 if split > 0 else 0
        at = event - 76  # before `"entry_hash":"sha-256:`, 43 characters and `","event":"`
        actor_end = line.find(b'"', 10)
        details = line.find(b'"', actor_end + 8)  # behind `","at":"`
        if not (
            at > 0
            and line.startswith(middle, split)
            and line.startswith(_EVENT, at + 65)
            and line.startswith(_HASH, at)
            and line.startswith(b'{"actor":"')
            and line.startswith(b'","at":"', actor_end)
            and line.startswith(self._marker, details)
            and line.endswith(b'"}\n')
        ):
            self._feed_other(line)
            return
        digest = hashlib.sha256(line[:at] + line[at + 67 : -1]).digest()
        stated = line[at + 22 : at + 65]
        if binascii.b2a_base64(digest).translate(URL_SAFE, b"=\n") != stated:
            self._feed_other(line)
            return
        self._advance(number, stated)
        watch = self._watched.get(line[event:split])
        if watch is not None:
            watch(self, line[subject:-3], line[details + len(self._marker) - 1 : at - 1])

    def _feed_other(self, line: bytes) -> None:
        if line == b"\n":
            return
        record = json_object(line)
        if record is None:
            self.report.add("malformed", self._sequence + 1, "a line is no JSON object")
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
        if entry.get("previous_hash") != "sha-256:" + self._previous.decode():
            self.report.add("broken_link", sequence, "does not continue the entry before it")
        body = {name: value for name, value in entry.items() if name != "entry_hash"}
        if "sha-256:" + base64url(hashlib.sha256(canonical(body)).digest()).decode() != stated:
            self.report.add("edited_entry", sequence, "its content is not what was sealed")
        self._advance(sequence, stated.removeprefix("sha-256:").encode())
        watch = self._watched.get(str(entry.get("event")).encode())
        if watch is not None:
            subject = str(entry.get("subject")).encode("utf-8", "replace")
            watch(self, subject, canonical(entry["details"]))

    def _advance(self, sequence: int, entry_hash: bytes) -> None:
        self.report.entries += 1
        self._sequence, self._previous = sequence, entry_hash
        if sequence in self._awaited:
            for wanted in self._awaited.pop(sequence):
                self._compare(sequence, wanted)

    def _compare(self, sequence: int, wanted: str) -> None:
        if "sha-256:" + self._previous.decode("ascii", "replace") != wanted:
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
        if first != self._sequence + 1 or record["previous_hash"] != "sha-256:" + self._previous.decode():
            self.report.add("missing_segment", first, "the segment does not continue what comes before it")
        problem = self._read_segment(record)
        if problem is not None:
            self.report.add(problem[0], first, problem[1])
        elif (self._sequence, "sha-256:" + self._previous.decode()) != (last, record["last_hash"]):
            self.report.add("edited_segment", first, "the segment's file does not end where its record says")
        self._sequence, self._previous = last, record["last_hash"].removeprefix("sha-256:").encode()
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
            for line in lines_of(path):
                self.feed(line)
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
        report.head_sequence, report.head_hash = self._sequence, "sha-256:" + self._previous.decode()
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

    def approved(self, subject: bytes, details: bytes) -> None:
        """Step 4, first half: how far a request got."""
        at = details.find(_APPROVED)
        if at > 0 and (_opens_a_name(details, at) or _text(details, b'"status":"') == b"APPROVED"):
            self.tokens.approved[subject] = _text(details, _DIGEST)

    def allowed(self, subject: bytes, details: bytes) -> None:
        """A rule, or a timeout that a rule lets approve, approved it."""
        self.tokens.approved[subject] = _text(details, _DIGEST)

    def revoked(self, subject: bytes, _details: bytes) -> None:
        self.tokens.approved.pop(subject, None)

    def minted(self, subject: bytes, details: bytes) -> None:
        """Step 4, second half."""
        digest = _text(details, _DIGEST)
        if self.tokens.approved.get(subject) != digest:
            message = "a token was minted with no approval before it"
            self.report.add("unapproved_token", self._sequence, message)
        self.tokens.minted[_text(details, _TOKEN)] = (subject, digest)

    def ran(self, _subject: bytes, details: bytes) -> None:
        token, request = _text(details, _TOKEN), _text(details, b'"request_id":"')
        self.tokens.started.append((self._sequence, token, request, _text(details, _DIGEST)))

    def archived(self, _subject: bytes, details: bytes) -> None:
        self._named.add(_text(details, b'"signature":"').decode("utf-8", "replace"))


def _opens_a_name(details: bytes, at: int) -> bool:
    """Whether the quote there begins the name of a field of `details` itself, for certain.

    It does behind a brace or comma, since a quote inside a text has a backslash before it, and where nothing
    is nested (one brace).
    """
    return details[at - 1] in b"{," and details.find(b"{", 1) < 0


def _text(details: bytes, marker: bytes) -> bytes:
    """The field that begins with `marker`; by a search where that is unambiguous, since parsing is slow."""
    at = details.find(marker)
    if at > 0 and _opens_a_name(details, at):
        begin = at + len(marker)
        value = details[begin : details.find(b'"', begin)]
        if b"\\" not in value:
            return value
    found = json_object(details)
    return b"" if found is None else str(found.get(marker[1:-3].decode())).encode("utf-8", "surrogatepass")


_WATCHED: Final[dict[bytes, Callable[[ChainVerifier, bytes, bytes], None]]] = {
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
