"""Sealed segments: proof of a part of an audit log that was moved, whole, out of the database into a file."""

from __future__ import annotations

from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from hitl_contract.canonical import base64url_decode, base64url_encode, canonical_json
from hitl_contract.errors import ChainMalformed
from hitl_contract.keys import PublicKeys

_Number = Annotated[int, Field(ge=1)]


class SegmentClaim(BaseModel):
    """The file of this digest has exactly these entries of the chain.

    `previous_hash` is the one that the segment's first entry names; `file_digest` is over the file's bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["hitl-audit-segment"] = "hitl-audit-segment"
    chain: str
    first_sequence: _Number
    last_sequence: _Number
    previous_hash: str
    last_hash: str
    entries: _Number
    file_name: str
    file_digest: str
    at: str
    key_id: str


class SegmentRecord(SegmentClaim):
    """A segment's claim with its signature."""

    signature: str


def sign_segment(claim: SegmentClaim, private_key: Ed25519PrivateKey) -> SegmentRecord:
    """Return the signed record; the claim names the key."""
    signature = base64url_encode(private_key.sign(canonical_json(claim.model_dump())))
    return SegmentRecord(**claim.model_dump(), signature=signature)


def segment_is_signed(record: SegmentRecord, keys: PublicKeys) -> bool:
    """Tell whether one of the keys signed exactly this record."""
    try:
        signature = base64url_decode(record.signature)
    except ValueError:
        return False
    return keys.signed(record.key_id, signature, canonical_json(record.model_dump(exclude={"signature"})))


def segment_to_json(record: SegmentRecord) -> dict[str, JsonValue]:
    """Return the record as an export, a proof file and an audit entry hold it."""
    return record.model_dump()


def segment_from_json(document: object) -> SegmentRecord:
    """Inverse of :func:`segment_to_json`.

    Raises:
        ChainMalformed: a field is missing, unknown or of the wrong type.
    """
    try:
        return SegmentRecord.model_validate(document)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ChainMalformed(f"a segment record has a wrong or missing field: {place}") from None
