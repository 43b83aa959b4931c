"""The verifier that shares no code with the servers agrees with theirs, needs Python alone, and is fast."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_contract.audit_chain import (
    AuditEntry,
    checkpoint_from_json,
    checkpoint_to_json,
    entry_from_json,
    entry_to_json,
    genesis_hash,
    link_hash,
    seal_entry,
    sign_checkpoint,
)
from hitl_contract.audit_verification import verify_chain
from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_contract.keys import PublicKeys, key_id
from server_kit.audit_verifier.chain import ChainVerifier
from server_kit.audit_verifier.command import join
from server_kit.audit_verifier.encoding import canonical
from server_kit.audit_verifier.report import Report, Tokens
from server_kit.audit_verifier.shapes import Shapes
from server_kit.audit_verifier.signatures import Keys, signed_without_library
from server_kit.audit_verifier.single_file import write

PRIVATE = Ed25519PrivateKey.generate()
KEYS = PublicKeys([PRIVATE.public_key()])
DIGEST = "sha-256:" + "x" * 43
DETAILS = {"action_digest": DIGEST, "seal": "hmac-sha256:" + "y" * 43, "verdict": "approve"}


def chained(*acts: tuple[str, str, Mapping[str, Any]], chain: str = "hitl") -> list[bytes]:
    """The lines of an export of these acts (event, subject, details), signed at its end."""
    lines: list[bytes] = []
    previous = genesis_hash(chain)
    for sequence, (event, subject, details) in enumerate(acts, 1):
        entry = seal_entry(
            chain=chain,
            sequence=sequence,
            at="2026-11-21T00:00:00.000000Z",
            event=event,
            actor="person:ada",
            subject=subject,
            details=details,  # pyright: ignore[reportArgumentType]
            previous_hash=previous,
        )
        previous = entry.entry_hash
        lines.append(canonical_json(entry_to_json(entry)) + b"\n")
    mark = sign_checkpoint(
        chain=chain,
        sequence=len(lines),
        entry_hash=previous,
        at="2026-11-21T00:00:01.000000Z",
        private_key=PRIVATE,
        key_id=key_id(PRIVATE.public_key()),
    )
    return [*lines, canonical_json(checkpoint_to_json(mark)) + b"\n"]


def verified(lines: list[bytes], chain: str = "hitl") -> tuple[Report, Tokens]:
    verifier = ChainVerifier(chain, Keys(KEYS.to_jwks()))
    verifier.feed(b"".join(lines))
    return verifier.finish(lambda: iter(lines)), verifier.tokens


def kinds(report: Report) -> set[str]:
    return {problem.kind for problem in report.problems}


def approval(request: str = "req_1", token: str = "tok_1") -> list[tuple[str, str, dict[str, object]]]:
    return [
        ("request.created", request, {"action_digest": DIGEST}),
        ("request.decided", request, {**DETAILS, "status": "APPROVED", "reason": 'a "quoted" {one}'}),
        ("token.minted", request, {"action_digest": DIGEST, "token_id": token}),
    ]


def run(token: str, request: str = "req_1") -> tuple[str, str, dict[str, object]]:
    details: dict[str, object] = {"token_id": token, "request_id": request, "action_digest": DIGEST}
    return ("execution.started", f"exe_{token}", details)


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(str.isascii), inner, max_size=3),
    max_leaves=8,
)


@given(acts=st.lists(st.tuples(texts, texts, st.dictionaries(texts.filter(str.isascii), values)), max_size=5))
def test_what_the_servers_write_is_intact_for_the_verifier(
    acts: list[tuple[str, str, dict[str, object]]],
) -> None:
    lines = chained(
        ("begun", "log", {}), *[(f"x.{event}", subject, details) for event, subject, details in acts]
    )
    report, _ = verified(lines)
    assert report.intact, report.problems
    spelled = [json.dumps(json.loads(line), indent=None).encode() + b"\n" for line in lines]
    assert verified(spelled)[0].intact


@given(data=st.data())
def test_it_finds_whatever_the_servers_own_verification_finds(data: st.DataObject) -> None:
    lines = chained(*[("thing.done", f"s{number}", {"n": number}) for number in range(6)])
    entries, mark = lines[:-1], lines[-1]
    order = data.draw(st.lists(st.sampled_from(range(6)), min_size=1, max_size=7))
    changed = [json.loads(entries[position]) for position in order]
    if data.draw(st.booleans()):
        victim = data.draw(st.sampled_from(changed))
        victim[data.draw(st.sampled_from(["at", "event", "actor", "subject"]))] += "x"
        if data.draw(st.booleans()):
            victim["entry_hash"] = link_hash(entry_from_json(victim))
    parsed: list[AuditEntry] = [entry_from_json(each) for each in changed]
    reference = verify_chain(
        parsed, chain="hitl", checkpoints=[checkpoint_from_json(json.loads(mark))], keys=KEYS
    )
    report, _ = verified([*(canonical_json(each) + b"\n" for each in changed), mark])
    assert report.intact == reference.intact
    assert kinds(report) == {problem.kind.value for problem in reference.problems}


@pytest.mark.parametrize(
    ("acts", "found"),
    [
        (approval(), set()),
        (approval()[:1] + approval()[2:], {"unapproved_token"}),
        ([approval()[0], approval()[2], approval()[1]], {"unapproved_token"}),
        ([*approval()[:2], ("request.revoked", "req_1", {}), approval()[2]], {"unapproved_token"}),
        ([*approval()[:2], ("token.minted", "req_2", approval()[2][2])], {"unapproved_token"}),
        ([("request.allowed_by_rule", "req_1", {"action_digest": DIGEST}), approval()[2]], set()),
    ],
)
def test_a_token_needs_an_approval_before_it(
    acts: list[tuple[str, str, dict[str, object]]], found: set[str]
) -> None:
    assert kinds(verified(chained(*acts))[0]) == found


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([run("tok_1")], set()),
        ([run("tok_2")], {"unknown_token"}),
        ([run("tok_1", "req_2")], {"unknown_token"}),
        ([run("tok_1"), run("tok_1")], {"executed_twice"}),
    ],
)
def test_every_run_joins_to_a_token(runs: list[tuple[str, str, dict[str, object]]], found: set[str]) -> None:
    _, minted = verified(chained(*approval()))
    report, tokens = verified(chained(*runs, chain="executor"), "executor")
    join(minted, tokens, report)
    assert kinds(report) == found


@settings(deadline=None)
@given(message=st.binary(max_size=64), flip=st.integers(0, 511))
def test_signatures_are_told_apart_without_any_library(message: bytes, flip: int) -> None:
    public, signature = PRIVATE.public_key().public_bytes_raw(), PRIVATE.sign(message)
    assert signed_without_library(public, signature, message)
    broken = bytearray(signature)
    broken[flip // 8] ^= 1 << flip % 8
    assert not signed_without_library(public, bytes(broken), message)
    assert not signed_without_library(public, signature, message + b"x")


def test_one_file_verifies_on_a_machine_that_has_python_alone(tmp_path: Path) -> None:
    export, keys, program = (tmp_path / name for name in ("audit.jsonl", "keys.json", "verify-audit.pyz"))
    export.write_bytes(b"".join(chained(*approval())))
    keys.write_text(json.dumps(KEYS.to_jwks()))
    write(program)
    runs, run_keys = tmp_path / "runs.jsonl", tmp_path / "run-keys.json"
    runs.write_bytes(b"".join(chained(run("tok_1"), chain="executor")))
    run_keys.write_text(json.dumps(KEYS.to_jwks()))

    def verify() -> tuple[int, str]:
        # -I and -S: neither this checkout nor any installed package can be imported.
        done = subprocess.run(
            [
                *(sys.executable, "-I", "-S", str(program), "--export", str(export), "--jwks", str(keys)),
                *("--executor-export", str(runs), "--executor-jwks", str(run_keys)),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    status, output = verify()
    assert (status, output.count(": intact:")) == (0, 2), output
    export.write_bytes(export.read_bytes().replace(b"person:ada", b"person:eve", 1))
    status, output = verify()
    assert (status, "edited_entry" in output) == (1, True), output
    keys.write_text("{}")
    assert verify()[0] == 2


class NoShapes(Shapes):
    """Knows no line: each is parsed."""

    def entry(self, line: bytes) -> None:
        return None


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda number: not number.is_integer() or abs(number) < 2**53 or abs(number) >= 1e21
    )
    | st.sampled_from(
        ["APPROVED", "status", '","entry_hash":"', "\\", '"', "\x1f", "\x7f", "é", "\ufeff", "😀"]
    )
    | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            texts | st.sampled_from(["status", "sequence", "\ue000", "😀", "entry_hash"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
acts_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from(["request.created", "request.decided", "token.minted", "x"]) | texts,
        st.sampled_from(["req_1", "req_2"]) | texts,
        st.dictionaries(
            st.sampled_from(["status", "action_digest", "token_id", "sequence", "chain"]) | texts,
            anything,
            max_size=4,
        ),
    ),
    max_size=6,
)


def slowly(lines: list[bytes]) -> tuple[Report, Tokens]:
    verifier = ChainVerifier("hitl", Keys(KEYS.to_jwks()))
    verifier._shapes = NoShapes("hitl", frozenset())  # pyright: ignore[reportPrivateUsage]
    verifier.feed(b"".join(lines))
    return verifier.finish(lambda: iter(lines)), verifier.tokens


@given(acts=acts_of_any_kind, data=st.data())
def test_telling_lines_by_their_shape_finds_exactly_what_parsing_each_finds(
    acts: list[tuple[str, str, dict[str, object]]], data: st.DataObject
) -> None:
    # All twice: what is learned from a line is used on the next.
    lines = chained(*acts, *acts)
    assert verified(lines) == slowly(lines)
    assert kinds(verified(lines)[0]) <= {"unapproved_token"}
    spoilt = bytearray(b"".join(lines))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b",", b"0", b"1", b'"a":1,', b"\xc3"])
        )
    assert verified([bytes(spoilt)]) == slowly([bytes(spoilt)])


@given(value=st.dictionaries(texts | st.sampled_from(["\ue000", "😀"]), anything) | anything)
def test_its_canonical_form_is_that_of_the_contract(value: object) -> None:
    assert canonical(value) == canonical_json(value)


def sealed_as_spelled(details: bytes, after: str | None = None) -> list[bytes]:
    """Two entries: a usual one, and one whose hash was taken of `details` as they are spelled."""
    first = chained(("x", "s", {"a": "1", "b": "2"}))[0]
    previous = (after or str(json.loads(first)["entry_hash"])).encode()
    rest = b'"event":"x","previous_hash":"%b","sequence":2,"subject":"s"}' % previous
    head = b'{"actor":"person:ada","at":"2026-11-21T00:00:00.000000Z","chain":"hitl","details":%b,' % details
    entry_hash = digest_of_bytes(head + rest).encode()
    return [first, b'%b"entry_hash":"%b",%b\n' % (head, entry_hash, rest)]


@pytest.mark.parametrize(
    "details",
    [
        *(b'{"a":"1","a":"2"}', b'{"b":"1","a":"2"}', b'{"a":"1", "b":"2"}', b'{"a":"\\u0031","b":"2"}'),
        *(b'{"a":"1","b":"2"},"details":{"a":"1","b":"2"}', b'{"a":"\x01","b":"2"}', b'{"a":"\xff","b":"2"}'),
        *(
            b'{"a":"1","b":01}',
            b'{"a":"1","b":-0}',
            b'{"a":"1","b":1.0}',
            b'{"a":"1","b":"2"',
            b'{"a":"\\/","b":"2"}',
        ),
        *(b'{"a":"1","b":"\xed\xa0\x80"}', b'{"a":"1","b":NaN}', b"[" * 900 + b"]" * 900),
    ],
)
@pytest.mark.parametrize("learned", [True, False])
def test_a_hash_over_bytes_that_are_not_the_canonical_form_of_what_they_say_is_no_hash_of_it(
    details: bytes, learned: bool
) -> None:
    lines = sealed_as_spelled(details)
    if not learned:
        other = chained(("x", "s", {}))[0]
        lines = [other, sealed_as_spelled(details, after=json.loads(other)["entry_hash"])[1]]
    assert kinds(verified(lines)[0]) & {"edited_entry", "malformed"}


def test_what_was_sealed_in_canonical_form_is_its_content() -> None:
    assert verified(sealed_as_spelled(b'{"a":"1","b":"2"}'))[0].intact


def test_a_log_of_ever_other_shapes_is_verified_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server_kit.audit_verifier.shapes._MOST", 3)
    monkeypatch.setattr("server_kit.audit_verifier.shapes._MOST_ALIKE", 2)
    acts: list[tuple[str, str, dict[str, object]]] = []
    for n in range(60):
        details: dict[str, object] = {"n" * (n % 5 + 1): "v", "m" * (n % 3 + 1): ["w"] * (n % 7)}
        acts.append(("x", "s", details))
    lines = chained(*acts)
    assert verified(lines) == slowly(lines)


def test_verification_costs_little_more_than_hashing_what_is_there() -> None:
    lines = chained(*[("request.decided", f"req_{n}", {**DETAILS, "n": n}) for n in range(4000)])

    def seconds(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    def parse_and_hash() -> None:
        for line in lines:
            body = json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))
            hashlib.sha256(body.encode()).digest()

    pairs = [(seconds(lambda: verified(lines)), seconds(parse_and_hash)) for _ in range(5)]
    # Measured a third; parsing and writing each entry anew would cost more than the bound.
    assert min(mine / theirs for mine, theirs in pairs) < 0.6
