"""Checking an exported audit log with public keys alone, away from its server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hitl_contract.audit_chain import AuditEntry, Checkpoint, checkpoint_from_json, entry_from_json
from hitl_contract.audit_verification import ChainReport, verify_chain
from hitl_contract.keys import PublicKeys


def verify_export(
    documents: Iterable[Mapping[str, object]],
    *,
    chain: str,
    keys: PublicKeys,
    witnessed: Iterable[Checkpoint] = (),
) -> ChainReport:
    """Check the documents that `AuditLog.export` yielded, entries and checkpoints in any mixture.

    Raises ChainMalformed when a document is neither an entry nor a checkpoint.
    """
    entries: list[AuditEntry] = []
    marks: list[Checkpoint] = []
    for document in documents:
        if "signature" in document:
            marks.append(checkpoint_from_json(document))
        else:
            entries.append(entry_from_json(document))
    remembered = tuple(witnessed)
    last = max(remembered, key=lambda mark: mark.sequence, default=None)
    return verify_chain(
        entries,
        chain=chain,
        checkpoints=(*marks, *(mark for mark in remembered if mark not in set(marks))),
        keys=keys,
        expected_head=None if last is None else (last.sequence, last.entry_hash),
    )
