"""`python -m benchmarks.audit`: how many entries the two verifications of the log check in a second."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hitl_contract.audit_chain import (
    checkpoint_to_json,
    entry_from_json,
    entry_to_json,
    genesis_hash,
    seal_entry,
    sign_checkpoint,
)
from hitl_contract.audit_verification import verify_chain
from hitl_contract.canonical import canonical_json
from hitl_contract.keys import PublicKeys, key_id
from server_kit.audit_verifier.command import verify_export
from server_kit.audit_verifier.signatures import Keys

TARGET = 100_000
_EVERY = 256
_DIGEST = "sha-256:" + "x" * 43


def write_export(path: Path, entries: int, key: Ed25519PrivateKey) -> None:
    """An export of requests that are asked, approved and given a token, signed every 256 entries."""
    previous, at = genesis_hash("hitl"), "2026-11-21T00:00:00.000000Z"
    with path.open("wb") as file:
        for sequence in range(1, entries + 1):
            event = ("request.created", "request.decided", "token.minted")[sequence % 3 - 1]
            request = f"req_{(sequence - 1) // 3:026}"
            details = {
                "action_digest": _DIGEST,
                "seal": _DIGEST,
                "channel": "web",
                "token_id": f"tok_{request}",
            }
            if event == "request.decided":
                details |= {"verdict": "approve", "status": "APPROVED"}
            entry = seal_entry(
                chain="hitl",
                sequence=sequence,
                at=at,
                event=event,
                actor="person:ada",
                subject=request,
                details=details,
                previous_hash=previous,
            )
            previous = entry.entry_hash
            file.write(canonical_json(entry_to_json(entry)) + b"\n")
            if sequence % _EVERY == 0 or sequence == entries:
                mark = sign_checkpoint(
                    chain="hitl",
                    sequence=sequence,
                    entry_hash=previous,
                    at=at,
                    private_key=key,
                    key_id=key_id(key.public_key()),
                )
                file.write(canonical_json(checkpoint_to_json(mark)) + b"\n")


def main() -> int:
    """Exit code 0 when the target was met on one core."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--entries", type=int, default=300_000)
    entries: int = parser.parse_args().entries
    key = Ed25519PrivateKey.generate()
    keys = Keys(PublicKeys([key.public_key()]).to_jwks())
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as directory:
        export = Path(directory) / "audit.jsonl"
        write_export(export, entries, key)
        rates: list[float] = []
        for _ in range(3):
            began = time.process_time()
            report, _tokens = verify_export(export, chain="hitl", keys=keys)
            rates.append(entries / (time.process_time() - began))
            assert report.intact, report.problems
        with export.open("rb") as file:
            documents = [json.loads(line) for line, _ in zip(file, range(50_000), strict=False)]
    parsed = [entry_from_json(document) for document in documents if "type" not in document]
    in_memory: list[float] = []
    for _ in range(3):
        began = time.process_time()
        assert verify_chain(parsed, chain="hitl", checkpoints=(), keys=PublicKeys([])).intact
        in_memory.append(len(parsed) / (time.process_time() - began))
    for what, best in (("an export", max(rates)), ("entries in memory", max(in_memory))):
        print(f"audit verification of {what}: {best:,.0f} entries per second and core (target {TARGET:,})")
    return 0 if min(max(rates), max(in_memory)) >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
