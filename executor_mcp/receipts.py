"""Signed receipts: what was allowed, what ran, where, and what came out, checkable with public keys alone.

A receipt is a compact JWS (RFC 7515) with the header `{"alg":"EdDSA","typ":"execution-receipt+jwt","kid":…}`.
The output digest is SHA-256 over the RFC 8785 bytes of `output_document`, so anybody who holds the output can
recompute it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final, cast

from jwt import PyJWTError
from jwt.api_jws import PyJWS

from executor_mcp.errors import ReceiptInvalid
from executor_mcp.models import Execution, Outcome, StoredFile
from executor_mcp.receipt_key import ReceiptKey
from executor_mcp.sandbox.base import Connection
from hitl_contract.canonical import canonical_json, digest_of_bytes, parse_strict_json
from hitl_contract.errors import CanonicalizationError
from hitl_contract.keys import PublicKeys

RECEIPT_TYPE: Final = "execution-receipt+jwt"
_ALGORITHM: Final = "EdDSA"
_MAX_BYTES: Final = 16_384


@dataclass(frozen=True)
class Receipt:
    """What the executor vouches for. `finished_at` is in POSIX seconds.

    `packages` has the name and version, as its language writes them, and the digest of its files for each
    package that was laid in.
    """

    executor: str
    execution_id: str
    token_id: str
    request_id: str
    agent: str
    action_digest: str
    output_digest: str
    status: str
    exit_code: int | None
    backend: str
    runtime: str
    image_digest: str | None
    finished_at: int
    packages: tuple[str, ...] = ()


def output_document(
    *,
    status: str,
    exit_code: int | None,
    stdout: bytes,
    stderr: bytes,
    result_json: bytes | None,
    truncated: bool,
    files: Sequence[StoredFile],
    files_truncated: bool,
    connections: Sequence[Connection] = (),
) -> dict[str, object]:
    """Everything that came out, each part by its own digest; `connections` where there were any."""
    return {
        "status": status,
        "exit_code": exit_code,
        "stdout": digest_of_bytes(stdout),
        "stderr": digest_of_bytes(stderr),
        "result": None if result_json is None else digest_of_bytes(result_json),
        "truncated": truncated,
        "files": [
            {"path": file.path, "size": file.size, "sha256": file.sha256}
            for file in sorted(files, key=lambda file: file.path)
        ],
        "files_truncated": files_truncated,
        **({"connections": [asdict(one) for one in connections]} if connections else {}),
    }


def output_digest(outcome: Outcome) -> str:
    """`sha-256:…` over stdout, stderr, result, files and how the run ended."""
    document = output_document(
        status=outcome.status.value,
        exit_code=outcome.exit_code,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        result_json=outcome.result_json,
        truncated=outcome.truncated,
        files=outcome.files,
        files_truncated=outcome.files_truncated,
        connections=outcome.connections,
    )
    return digest_of_bytes(canonical_json(document))


class ReceiptSigner:
    """Signs as one executor."""

    def __init__(self, key: ReceiptKey, *, executor: str) -> None:
        self._key = key
        self._executor = executor

    def sign(self, execution: Execution, outcome: Outcome, *, finished_at: int) -> str:
        receipt = Receipt(
            executor=self._executor,
            execution_id=execution.execution_id,
            token_id=execution.token_id,
            request_id=execution.request_id,
            agent=execution.agent,
            action_digest=execution.action_digest,
            output_digest=output_digest(outcome),
            status=outcome.status.value,
            exit_code=outcome.exit_code,
            backend=execution.sandbox.backend,
            runtime=execution.sandbox.runtime,
            image_digest=execution.sandbox.image_digest,
            finished_at=finished_at,
            packages=tuple(f"{one.package} {one.layer}" for one in execution.packages),
        )
        headers = {"typ": RECEIPT_TYPE, "kid": self._key.key_id}
        payload = json.dumps(asdict(receipt), separators=(",", ":"), sort_keys=True).encode()
        return PyJWS().encode(payload, self._key.private, algorithm=_ALGORITHM, headers=headers)


def verify_receipt(text: str, keys: PublicKeys) -> Receipt:
    """The receipt's content, if one of the executor's published keys signed it.

    1. The text is at most 16 KiB and has a header with exactly alg EdDSA, our typ and a kid.
    2. The kid is one of the keys.
    3. The Ed25519 signature holds.
    4. The payload has every field of a receipt and no other; receipts of before packages have no `packages`.

    Raises:
        ReceiptInvalid: naming what does not hold.
    """
    try:
        header = PyJWS().get_unverified_header(text) if len(text) <= _MAX_BYTES else {}  # 1
    except PyJWTError as error:
        raise ReceiptInvalid("not a receipt: it is not a compact JWS") from error
    if (
        header.get("alg") != _ALGORITHM
        or header.get("typ") != RECEIPT_TYPE
        or set(header) != {"alg", "typ", "kid"}
    ):
        raise ReceiptInvalid(
            f"not a receipt: its header must say alg {_ALGORITHM}, typ {RECEIPT_TYPE} and kid"
        )
    key = keys.get(str(header["kid"]))
    if key is None:  # 2
        raise ReceiptInvalid("signed with a key that this key set does not hold")
    try:
        payload = PyJWS().decode(text, key, algorithms=[_ALGORITHM])  # 3
        document = parse_strict_json(cast("bytes", payload))
    except (PyJWTError, CanonicalizationError) as error:
        raise ReceiptInvalid("the signature does not hold") from error
    names = {field.name for field in fields(Receipt)}
    found = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    packages = found.setdefault("packages", [])
    if set(found) != names or not isinstance(packages, list):  # 4
        raise ReceiptInvalid(f"the fields of a receipt are {', '.join(sorted(names))}")
    found["packages"] = tuple(cast("list[object]", packages))
    return Receipt(**found)  # pyright: ignore[reportArgumentType]
