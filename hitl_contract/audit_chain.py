"""The hash-chained audit log: entry format, link hash, signed checkpoints.

An entry's hash covers every one of its fields and the hash before it, so that an edit, an insertion, a
deletion or a reorder breaks the chain at its place. A checkpoint is a signature over a position and its
hash: it finds a chain that was computed anew, cut, rolled back or forked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring as _quoted
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import JsonValue

from hitl_contract.canonical import (
    MAX_SAFE_INTEGER,
    base64url_decode,
    base64url_encode,
    canonical_json,
    canonical_object,
    digest_of_bytes,
)
from hitl_contract.errors import CanonicalizationError, ChainMalformed
from hitl_contract.keys import PublicKeys

_GENESIS_TYPE: Final = "hitl-audit-genesis"
_CHECKPOINT_TYPE: Final = "hitl-audit-checkpoint"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. ``sequence`` counts from 1; ``at`` is RFC 3339 in UTC; hashes are ``sha-256:<base64url>``."""

    chain: str
    sequence: int
    at: str
    event: str
    actor: str
    subject: str
    details: Mapping[str, JsonValue]
    previous_hash: str
    entry_hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement: at ``at`` the chain's entry ``sequence`` had the hash ``entry_hash``."""

    chain: str
    sequence: int
    entry_hash: str
    at: str
    key_id: str
    signature: str


def genesis_hash(chain: str) -> str:
    """Return the hash that the chain's first entry names as the one before it."""
    return digest_of_bytes(canonical_json({"type": _GENESIS_TYPE, "chain": chain}))


def link_hash(entry: AuditEntry) -> str:
    """Return the hash that the entry's content and its predecessor's hash demand."""
    return _hash_of(
        entry.chain,
        entry.sequence,
        entry.at,
        entry.event,
        entry.actor,
        entry.subject,
        entry.details,
        entry.previous_hash,
    )


def seal_entry(
    *,
    chain: str,
    sequence: int,
    at: str,
    event: str,
    actor: str,
    subject: str,
    details: Mapping[str, JsonValue],
    previous_hash: str,
) -> AuditEntry:
    """Return the entry with its hash.

    Raises:
        CanonicalizationError: ``details`` is no I-JSON value.
    """
    entry_hash = _hash_of(chain, sequence, at, event, actor, subject, details, previous_hash)
    return AuditEntry(chain, sequence, at, event, actor, subject, details, previous_hash, entry_hash)


def _hash_of(
    chain: str,
    sequence: int,
    at: str,
    event: str,
    actor: str,
    subject: str,
    details: Mapping[str, JsonValue],
    previous_hash: str,
) -> str:
    """The digest of the canonical bytes of these fields; only the details have a form to be found out.

    Raises CanonicalizationError.
    """
    if abs(sequence) > MAX_SAFE_INTEGER:
        raise CanonicalizationError(f"the sequence number {sequence} is beyond 2**53 - 1")
    inner = canonical_object(details)
    text = (
        f'{{"actor":{_quoted(actor)},"at":{_quoted(at)},"chain":{_quoted(chain)},"details":{inner},'
        f'"event":{_quoted(event)},"previous_hash":{_quoted(previous_hash)},"sequence":{sequence},'
        f'"subject":{_quoted(subject)}}}'
    )
    try:
        return digest_of_bytes(text.encode())
    except UnicodeEncodeError as error:
        raise CanonicalizationError("a string contains a lone surrogate") from error


def sign_checkpoint(
    *, chain: str, sequence: int, entry_hash: str, at: str, private_key: Ed25519PrivateKey, key_id: str
) -> Checkpoint:
    """Return the signed checkpoint of one position of the chain."""
    message = _checkpoint_message(chain, sequence, entry_hash, at, key_id)
    signature = base64url_encode(private_key.sign(message))
    return Checkpoint(chain, sequence, entry_hash, at, key_id, signature)


def checkpoint_is_signed(checkpoint: Checkpoint, keys: PublicKeys) -> bool:
    """Tell whether one of the keys signed exactly this checkpoint."""
    message = _checkpoint_message(
        checkpoint.chain, checkpoint.sequence, checkpoint.entry_hash, checkpoint.at, checkpoint.key_id
    )
    try:
        signature = base64url_decode(checkpoint.signature)
    except ValueError:
        return False
    return keys.signed(checkpoint.key_id, signature, message)


def entry_to_json(entry: AuditEntry) -> dict[str, object]:
    """Return the entry as an export writes it."""
    return {
        "chain": entry.chain,
        "sequence": entry.sequence,
        "at": entry.at,
        "event": entry.event,
        "actor": entry.actor,
        "subject": entry.subject,
        "details": entry.details,
        "previous_hash": entry.previous_hash,
        "entry_hash": entry.entry_hash,
    }


def entry_from_json(document: object) -> AuditEntry:
    """Inverse of :func:`entry_to_json`.

    Raises:
        ChainMalformed: a field is missing, unknown or of the wrong type.
    """
    texts = ("chain", "at", "event", "actor", "subject", "previous_hash", "entry_hash")
    fields = _fields(document, texts, extra=("sequence", "details"))
    details = fields["details"]
    if not isinstance(details, dict):
        raise ChainMalformed("details must be an object")
    return AuditEntry(
        chain=cast("str", fields["chain"]),
        sequence=_sequence(fields),
        at=cast("str", fields["at"]),
        event=cast("str", fields["event"]),
        actor=cast("str", fields["actor"]),
        subject=cast("str", fields["subject"]),
        details=cast("dict[str, JsonValue]", details),
        previous_hash=cast("str", fields["previous_hash"]),
        entry_hash=cast("str", fields["entry_hash"]),
    )


def checkpoint_to_json(checkpoint: Checkpoint) -> dict[str, object]:
    """Return the checkpoint as an export or a witness writes it."""
    return {
        "type": _CHECKPOINT_TYPE,
        "chain": checkpoint.chain,
        "sequence": checkpoint.sequence,
        "entry_hash": checkpoint.entry_hash,
        "at": checkpoint.at,
        "key_id": checkpoint.key_id,
        "signature": checkpoint.signature,
    }


def checkpoint_from_json(document: object) -> Checkpoint:
    """Inverse of :func:`checkpoint_to_json`.

    Raises:
        ChainMalformed: a field is missing, unknown or of the wrong type.
    """
    texts = ("type", "chain", "entry_hash", "at", "key_id", "signature")
    fields = _fields(document, texts, extra=("sequence",))
    if fields["type"] != _CHECKPOINT_TYPE:
        raise ChainMalformed(f"type must be {_CHECKPOINT_TYPE}")
    return Checkpoint(
        chain=cast("str", fields["chain"]),
        sequence=_sequence(fields),
        entry_hash=cast("str", fields["entry_hash"]),
        at=cast("str", fields["at"]),
        key_id=cast("str", fields["key_id"]),
        signature=cast("str", fields["signature"]),
    )


def _checkpoint_message(chain: str, sequence: int, entry_hash: str, at: str, key_id: str) -> bytes:
    return canonical_json(
        {
            "type": _CHECKPOINT_TYPE,
            "chain": chain,
            "sequence": sequence,
            "entry_hash": entry_hash,
            "at": at,
            "key_id": key_id,
        }
    )


def _fields(document: object, texts: tuple[str, ...], *, extra: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(document, dict):
        raise ChainMalformed("a record must be a JSON object")
    fields = cast("dict[str, object]", document)
    if set(fields) != {*texts, *extra}:
        odd = min(set(fields) ^ {*texts, *extra})
        raise ChainMalformed(f"the field {odd!a} is missing or unknown")
    for name in texts:
        if not isinstance(fields[name], str):
            raise ChainMalformed(f"{name} must be a text")
    return fields


def _sequence(fields: Mapping[str, object]) -> int:
    sequence = fields["sequence"]
    if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 1:
        raise ChainMalformed("sequence must be a whole number from 1")
    return sequence
