"""The audit chain: whatever is done to the log behind its back is found (promise D2)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hitl_contract.audit_chain import (
    AuditEntry,
    Checkpoint,
    checkpoint_from_json,
    checkpoint_to_json,
    entry_from_json,
    entry_to_json,
    genesis_hash,
    link_hash,
    seal_entry,
    sign_checkpoint,
)
from hitl_contract.audit_verification import ChainProblemKind, ChainReport, report_to_json, verify_chain
from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_contract.errors import CanonicalizationError, ChainMalformed
from tests.contract.strategies import json_values
from tests.contract.tokens import KEY_ID, KEYS, PRIVATE_KEY

CHAIN = "approvals"


def build(number: int, *, flavour: str = "", chain: str = CHAIN) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    previous = genesis_hash(chain)
    for sequence in range(1, number + 1):
        entry = seal_entry(
            chain=chain,
            sequence=sequence,
            at=f"2026-11-21T00:00:{sequence:02}.000000Z",
            event="request.created",
            actor="agent:a",
            subject=f"req_{sequence}",
            details={"flavour": flavour, "number": sequence},
            previous_hash=previous,
        )
        entries.append(entry)
        previous = entry.entry_hash
    return entries


def mark(entry: AuditEntry, key: Ed25519PrivateKey = PRIVATE_KEY, key_id: str = KEY_ID) -> Checkpoint:
    return sign_checkpoint(
        chain=entry.chain,
        sequence=entry.sequence,
        entry_hash=entry.entry_hash,
        at=entry.at,
        private_key=key,
        key_id=key_id,
    )


def inspect(
    entries: list[AuditEntry], *marks: Checkpoint, head: tuple[int, str] | None = None
) -> ChainReport:
    return verify_chain(entries, chain=CHAIN, checkpoints=marks, keys=KEYS, expected_head=head)


def kinds(report: ChainReport) -> set[ChainProblemKind]:
    return {problem.kind for problem in report.problems}


def rebuilt_from(entries: list[AuditEntry], position: int, **changes: Any) -> list[AuditEntry]:
    """What an attacker does who edits one entry and computes every later hash anew."""
    rebuilt = entries[:position]
    previous = rebuilt[-1].entry_hash if rebuilt else genesis_hash(CHAIN)
    for index, entry in enumerate(entries[position:], start=position):
        changed = replace(entry, previous_hash=previous, **(changes if index == position else {}))
        changed = replace(changed, entry_hash=link_hash(changed))
        rebuilt.append(changed)
        previous = changed.entry_hash
    return rebuilt


def test_an_untouched_chain_is_intact() -> None:
    entries = build(10)
    report = inspect(entries, mark(entries[4]), mark(entries[8]), head=(10, entries[9].entry_hash))
    assert report.intact
    assert (report.entries, report.head_sequence, report.unsigned_tail) == (10, 10, 1)


def test_a_report_says_in_json_what_it_found_and_where() -> None:
    entries = build(5)
    entries[2] = replace(entries[2], event="x")
    found: dict[str, Any] = report_to_json(inspect(entries, mark(entries[3])))
    assert json.loads(json.dumps(found)) == found
    assert {key: found[key] for key in ("intact", "entries", "checkpoints", "unsigned_tail")} == {
        "intact": False,
        "entries": 5,
        "checkpoints": 1,
        "unsigned_tail": 1,
    }
    assert [(problem["kind"], problem["sequence"]) for problem in found["problems"]] == [
        ("edited_entry", 3),
    ]


def test_an_empty_chain_is_intact() -> None:
    report = inspect([])
    assert report.intact
    assert report.head_hash == genesis_hash(CHAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "x"},
        {"actor": "x"},
        {"subject": "x"},
        {"at": "x"},
        {"details": {"flavour": "", "number": 99}},
        {"details": {}},
    ],
)
def test_an_edited_entry_is_found(changes: dict[str, Any]) -> None:
    entries = build(5)
    entries[2] = replace(entries[2], **changes)
    assert ChainProblemKind.EDITED_ENTRY in kinds(inspect(entries))


@pytest.mark.parametrize("position", range(5))
def test_a_deleted_entry_is_found_wherever_it_was(position: int) -> None:
    entries = build(5)
    head = (5, entries[4].entry_hash)
    del entries[position]
    assert not inspect(entries, head=head).intact


@pytest.mark.parametrize("position", range(6))
def test_an_inserted_entry_is_found(position: int) -> None:
    entries = build(5)
    entries.insert(position, build(9, flavour="forged")[position])
    assert not inspect(entries, mark(build(5)[4])).intact


@pytest.mark.parametrize("position", range(4))
def test_two_entries_that_changed_places_are_found(position: int) -> None:
    entries = build(5)
    entries[position], entries[position + 1] = entries[position + 1], entries[position]
    assert kinds(inspect(entries)) & {ChainProblemKind.OUT_OF_ORDER, ChainProblemKind.MISSING_ENTRIES}


def test_a_chain_computed_anew_after_an_edit_contradicts_the_next_checkpoint() -> None:
    entries = build(10)
    forged = rebuilt_from(entries, 3, actor="person:nobody")
    assert inspect(forged).intact, "without a checkpoint a whole new chain cannot be told apart"
    assert kinds(inspect(forged, mark(entries[7]))) == {ChainProblemKind.FORKED}


@pytest.mark.parametrize("kept", range(8))
def test_a_cut_tail_is_found_by_a_checkpoint_beyond_it(kept: int) -> None:
    entries = build(10)
    assert ChainProblemKind.CUT_TAIL in kinds(inspect(entries[:kept], mark(entries[7])))


def test_a_rollback_to_an_older_state_with_its_checkpoints_is_found_by_a_remembered_head() -> None:
    entries = build(10)
    report = inspect(entries[:6], mark(entries[4]), head=(10, entries[9].entry_hash))
    assert kinds(report) == {ChainProblemKind.ROLLED_BACK}


def test_a_fork_behind_the_last_checkpoint_is_found_by_a_remembered_head() -> None:
    entries = build(10)
    forked = rebuilt_from(entries, 8, actor="other")
    assert kinds(inspect(forked, mark(entries[6]), head=(10, entries[9].entry_hash))) == {
        ChainProblemKind.FORKED
    }


def test_a_checkpoint_of_a_stranger_counts_for_nothing_and_is_reported() -> None:
    entries = build(5)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert kinds(inspect(entries, mark(entries[4], stranger))) == {ChainProblemKind.BAD_SIGNATURE}


@pytest.mark.parametrize("field", ["chain", "sequence", "entry_hash", "at", "key_id", "signature"])
def test_a_checkpoint_with_any_field_changed_is_not_signed(field: str) -> None:
    entries = build(5)
    genuine = mark(entries[2])
    forged = replace(genuine, **{field: 4 if field == "sequence" else "AAAA"})
    assert ChainProblemKind.BAD_SIGNATURE in kinds(inspect(entries, forged))


def test_a_checkpoint_with_a_garbled_signature_is_not_signed() -> None:
    entries = build(5)
    assert ChainProblemKind.BAD_SIGNATURE in kinds(inspect(entries, replace(mark(entries[2]), signature="!")))


def test_entries_of_another_chain_are_found() -> None:
    assert ChainProblemKind.FOREIGN_ENTRY in kinds(inspect(build(3, chain="executions")))


def test_a_log_of_nothing_but_damage_gives_a_bounded_report() -> None:
    entries = [replace(entry, actor="x") for entry in build(500)]
    assert len(inspect(entries).problems) == 100


@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), json_values, max_size=3))
def test_entries_and_checkpoints_survive_an_export(details: dict[str, Any]) -> None:
    entry = seal_entry(
        chain=CHAIN,
        sequence=1,
        at="t",
        event="e",
        actor="a",
        subject="s",
        details=details,
        previous_hash=genesis_hash(CHAIN),
    )
    assert entry_from_json(json.loads(json.dumps(entry_to_json(entry)))) == entry
    checkpoint = mark(entry)
    assert checkpoint_from_json(json.loads(json.dumps(checkpoint_to_json(checkpoint)))) == checkpoint


@pytest.mark.parametrize(
    "change",
    [{"sequence": "1"}, {"sequence": 0}, {"sequence": True}, {"actor": 1}, {"extra": 1}, {"details": []}],
)
def test_a_record_of_the_wrong_form_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(ChainMalformed):
        entry_from_json({**entry_to_json(build(1)[0]), **change})


@pytest.mark.parametrize("document", [None, [], {}, {"type": "hitl-audit-checkpoint"}])
def test_what_is_no_record_is_malformed(document: object) -> None:
    with pytest.raises(ChainMalformed):
        entry_from_json(document)
    with pytest.raises(ChainMalformed):
        checkpoint_from_json(document)


def test_a_checkpoint_of_another_type_is_malformed() -> None:
    with pytest.raises(ChainMalformed, match="type"):
        checkpoint_from_json({**checkpoint_to_json(mark(build(1)[0])), "type": "x"})


@pytest.mark.parametrize(
    "wrong",
    [{"sequence": 2**53}, {"subject": "\ud800"}, {"details": {"number": 2**53}}],
    ids=["number too large", "lone surrogate", "details that no parser reads alike"],
)
def test_what_has_no_canonical_form_is_not_sealed(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"sequence": 1, "subject": "s", "details": {}, **wrong}
    with pytest.raises(CanonicalizationError):
        seal_entry(chain="c", at="t", event="e", actor="a", previous_hash=genesis_hash("c"), **fields)


@given(details=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-9, 9) | st.text()))
def test_an_entry_is_hashed_over_its_canonical_bytes(details: dict[str, Any]) -> None:
    try:
        canonical_json(details)
    except CanonicalizationError:
        return
    entry = seal_entry(
        chain="c",
        sequence=7,
        at="t",
        event='e"\n\x01é',
        actor="a\\",
        subject="\u2028😀",
        details=details,
        previous_hash="p",
    )
    body = entry_to_json(entry)
    del body["entry_hash"]
    assert entry.entry_hash == digest_of_bytes(canonical_json(body))
