"""Whole exports, alone and joined, and the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from server_kit.audit_verifier.chain import ChainVerifier
from server_kit.audit_verifier.encoding import Unreadable, blocks_of, json_object, lines_of
from server_kit.audit_verifier.report import Report, Tokens
from server_kit.audit_verifier.signatures import Keys


def verify_export(
    export: Path, *, chain: str, keys: Keys, segments: Path | None = None, witnesses: Sequence[Path] = ()
) -> tuple[Report, Tokens]:
    """Steps 1 to 4 on one log. Raises Unreadable or OSError for a file that cannot be read."""
    verifier = ChainVerifier(chain, keys, segments=segments)
    remembered = 0
    for witness in witnesses:
        for line in lines_of(witness):
            mark = json_object(line)
            if mark is None:
                raise Unreadable(f"the witness {witness} is not JSON Lines")
            verifier.checkpoint(mark)
            remembered = max(remembered, int(mark.get("sequence", 0)))
    for lines in blocks_of(export):
        verifier.feed(lines)
    return verifier.finish(lambda: _everything(export, segments), remembered=remembered), verifier.tokens


def join(minted: Tokens, runs: Tokens, report: Report) -> None:
    """Step 5: adds what does not fit to the executor's `report`."""
    used: set[bytes] = set()
    for sequence, token, request, digest in runs.started:
        if minted.minted.get(token) != (request, digest):
            report.add("unknown_token", sequence, f"ran under a token {_shown(token)} not minted for it")
        if token in used:
            report.add("executed_twice", sequence, f"ran under a token {_shown(token)} used before")
        used.add(token)


def _shown(token: bytes) -> str:
    return ascii(token[:80].decode("utf-8", "replace"))


def chain_of(export: Path) -> str:
    """The name of the log that the first line belongs to."""
    for line in lines_of(export):
        record = json_object(line)
        if record is not None and isinstance(record.get("chain"), str):
            return record["chain"]
        break
    raise Unreadable(f"{export} is not an export of an audit log")


def read_keys(path: Path) -> Keys:
    """Raises Unreadable or OSError."""
    try:
        return Keys(json.loads(path.read_bytes()))
    except ValueError as error:
        raise Unreadable(f"{path} is not JSON") from error


def _everything(export: Path, segments: Path | None) -> Iterator[bytes]:
    for path in sorted(segments.glob("*.jsonl.gz")) if segments is not None else ():
        yield from lines_of(path)
    yield from lines_of(export)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Verify exported audit logs with public keys alone.")
    for whose, needed in (("", True), ("executor-", False)):
        parser.add_argument(f"--{whose}export", type=Path, required=needed, metavar="FILE")
        parser.add_argument(f"--{whose}jwks", type=Path, required=needed, metavar="FILE")
        parser.add_argument(f"--{whose}segments", type=Path, metavar="DIRECTORY")
        parser.add_argument(f"--{whose}witness", type=Path, action="append", default=[], metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        report, minted = _verify(options.export, options.jwks, options.segments, options.witness)
        reports = [report]
        if options.executor_export is not None:
            if options.executor_jwks is None:
                parser.error("--executor-export needs --executor-jwks")
            report, runs = _verify(
                options.executor_export,
                options.executor_jwks,
                options.executor_segments,
                options.executor_witness,
            )
            join(minted, runs, report)
            reports.append(report)
    except (OSError, Unreadable) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for report in reports:
        sys.stdout.write(_described(report))
    return 0 if all(report.intact for report in reports) else 1


def _verify(
    export: Path, jwks: Path, segments: Path | None, witnesses: Sequence[Path]
) -> tuple[Report, Tokens]:
    keys = read_keys(jwks)
    return verify_export(export, chain=chain_of(export), keys=keys, segments=segments, witnesses=witnesses)


def _described(report: Report) -> str:
    lines = [
        f"{report.chain}: {'intact' if report.intact else 'NOT INTACT'}: {report.entries} entries, "
        f"{report.segments} segments, {report.checkpoints} signed checkpoints, "
        f"{report.unsigned_tail} entries behind the last of them",
        f"  head {report.head_sequence} {report.head_hash}",
        *(f"  {problem.kind}: {problem.message}" for problem in report.problems),
    ]
    return "\n".join(lines) + "\n"
