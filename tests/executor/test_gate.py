"""The gate: what is refused, that a refusal leaves nothing but an audit entry, and that one admission is one
run.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import pickle
import time
from pathlib import Path
from typing import Any

import pytest

from executor_mcp.admission import AdmittedCall
from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.executor_policy import Ceilings, ExecutorPolicy, FindingRules
from executor_mcp.models import ExecutionStatus
from hitl_contract.canonical import base64url_encode
from hitl_contract.capability import claims_to_json
from server_kit.database.base import Database
from tests.executor.support import IMAGE, PROGRAM, Bench, Issuer, bench, refused


async def test_an_approved_program_runs_and_its_result_is_kept(ready: Bench) -> None:
    execution = await ready.run()

    assert execution.status is ExecutionStatus.COMPLETED
    assert execution.outcome is not None
    assert execution.outcome.stdout == b"42\n"
    assert [file.path for file in execution.outcome.files] == ["out.txt"]
    assert [name for name, *_ in await ready.events()] == ["execution.started", "execution.finished"]


async def test_an_action_given_as_it_was_approved_runs(ready: Bench) -> None:
    execution_id = await ready.executor.service.execute(ready.issuer.token(), PROGRAM)

    assert (await ready.executor.service.get(execution_id, wait_seconds=10)).status.is_final


@pytest.mark.parametrize(
    ("changes", "reason", "step"),
    [
        ({"issuer": "https://other.example.test"}, "wrong_issuer", 3),
        ({"audience": "another-executor"}, "wrong_audience", 3),
        ({"now": time.time() - 40_000}, "expired", 3),
        ({"now": time.time() + 40_000}, "not_yet_valid", 3),
        ({"key_thumbprint": "some-key"}, "proof_of_possession_required", 8),
    ],
)
async def test_a_signed_token_that_does_not_fit_is_refused_with_its_reason(
    ready: Bench, changes: dict[str, Any], reason: str, step: int
) -> None:
    refusal = await refused(ready, ready.issuer.token(**changes))

    assert (refusal.reason, refusal.step) == (reason, step)


def _forgeries(issuer: Issuer) -> dict[str, str]:
    good = issuer.token()
    header, payload, signature = good.split(".")

    def with_header(**fields: Any) -> str:
        document = {"alg": "EdDSA", "typ": "cap+jwt", "kid": issuer.key_id, **fields}
        document = {name: value for name, value in document.items() if value is not None}
        return f"{base64url_encode(json.dumps(document).encode())}.{payload}.{signature}"

    claims = claims_to_json(issuer.claims(subject="somebody-else"))
    changed = base64url_encode(json.dumps(claims).encode())
    return {
        "another key": Issuer().token(),
        "algorithm none": with_header(alg="none"),
        "algorithm HS256": with_header(alg="HS256"),
        "embedded key": with_header(jwk={"kty": "OKP"}),
        "key address": with_header(jku="https://evil.example.test"),
        "certificate address": with_header(x5u="https://evil.example.test"),
        "unknown crit": with_header(crit=["b64"]),
        "wrong type": with_header(typ="JWT"),
        "no key id": with_header(kid=None),
        "changed claims": f"{header}.{changed}.{signature}",
        "cut signature": good[:-10],
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "not a token": "hello",
    }


@pytest.mark.parametrize("name", sorted(_forgeries(Issuer())))
async def test_a_forged_token_gets_one_flat_refusal_and_touches_nothing(ready: Bench, name: str) -> None:
    refusal = await refused(ready, _forgeries(ready.issuer)[name], PROGRAM)

    assert refusal.reason is RefusalReason.INVALID_TOKEN
    assert not ready.sandbox.touched


@pytest.mark.parametrize("token", ["", "x" * 9000, "tökén", "\x00"])
async def test_a_token_of_impossible_shape_is_refused_at_the_first_step(ready: Bench, token: str) -> None:
    refusal = await refused(ready, token)

    assert refusal.reason is RefusalReason.INVALID_TOKEN
    assert not ready.sandbox.touched


@pytest.mark.parametrize("action", [[], "print(1)", 7, {}, {"type": 3}])
async def test_an_action_of_impossible_shape_is_refused_at_the_first_step(ready: Bench, action: Any) -> None:
    refusal = await refused(ready, ready.issuer.token(), action)

    assert (refusal.reason, refusal.step) == (RefusalReason.INVALID_ACTION, 1)


async def test_an_invalid_action_is_refused_naming_the_field(ready: Bench) -> None:
    refusal = await refused(ready, ready.issuer.token(), {**PROGRAM, "language": "perl"})

    assert (refusal.reason, refusal.step) == (RefusalReason.INVALID_ACTION, 5)
    assert "language" in refusal.detail


@pytest.mark.parametrize(
    "change",
    [
        {"code": "print(6 * 7) "},
        {"language": "bash"},
        {"input_data": {"a": 1}},
        {"files": [{"path": "a", "content": ""}]},
        {"limits": {"memory_mb": 257}},
        {"profile": "standard"},
        {"runtime": IMAGE},
    ],
)
async def test_any_change_of_the_action_is_refused(ready: Bench, change: dict[str, Any]) -> None:
    refusal = await refused(ready, ready.issuer.token(), {**PROGRAM, **change})

    assert (refusal.reason, refusal.step) == (RefusalReason.ACTION_MISMATCH, 5)
    assert not ready.sandbox.touched


async def test_an_action_that_the_issuer_swapped_is_refused(ready: Bench) -> None:
    claims = ready.issuer.claims()
    ready.issuer.actions[claims.action_digest] = ready.issuer.actions[
        ready.issuer.claims({**PROGRAM, "code": "evil()"}).action_digest
    ]

    refusal = await refused(ready, ready.issuer.sign(claims))

    assert refusal.reason is RefusalReason.ACTION_MISMATCH


async def test_a_revoked_token_is_refused(ready: Bench) -> None:
    claims = ready.issuer.claims()
    await ready.executor.ledger.revocations.revoke(claims.token_id, reason="lost laptop")
    await ready.executor.ledger.revocations.revoke(claims.token_id, reason="again")

    refusal = await refused(ready, ready.issuer.sign(claims))

    assert (refusal.reason, refusal.step) == (RefusalReason.REVOKED, 4)
    assert not ready.sandbox.touched


async def test_a_token_revoked_while_its_sandbox_was_prepared_is_not_spent(ready: Bench) -> None:
    claims = ready.issuer.claims()
    prepare = ready.sandbox.prepare

    async def revoke_then_prepare(job: Any) -> Any:
        await ready.executor.ledger.revocations.revoke(claims.token_id, reason="just now")
        return await prepare(job)

    ready.sandbox.prepare = revoke_then_prepare  # type: ignore[method-assign]
    refusal = await refused(ready, ready.issuer.sign(claims))

    assert refusal.reason is RefusalReason.REVOKED
    assert ready.sandbox.discarded == 1


async def test_a_token_spent_twice_is_refused_with_its_execution_id(ready: Bench) -> None:
    token = ready.issuer.token()
    execution_id = await ready.executor.service.execute(token, None)
    await ready.executor.service.get(execution_id, wait_seconds=10)
    prepared = ready.sandbox.prepared

    refusal = await refused(ready, token)

    assert refusal.reason is RefusalReason.ALREADY_USED
    assert refusal.execution_id == execution_id
    assert "already executed" in refusal.detail
    assert execution_id in refusal.detail
    assert not refusal.retryable
    assert ready.sandbox.prepared == prepared


async def test_a_fresh_token_of_a_spent_approval_is_refused_too(ready: Bench) -> None:
    claims = ready.issuer.claims()
    first = await ready.executor.service.execute(ready.issuer.sign(claims), None)
    await ready.executor.service.get(first, wait_seconds=10)

    refusal = await refused(
        ready, ready.issuer.sign(dataclasses.replace(claims, expires_at=claims.expires_at + 1))
    )

    assert refusal.reason is RefusalReason.ALREADY_USED


async def test_of_a_hundred_simultaneous_uses_one_runs(ready: Bench) -> None:
    token = ready.issuer.token()
    answers = await asyncio.gather(
        *(ready.executor.service.execute(token, None) for _ in range(100)), return_exceptions=True
    )

    admitted = [answer for answer in answers if isinstance(answer, str)]
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(admitted) == 1
    assert {(refusal.reason, refusal.execution_id) for refusal in refusals} == {("already_used", admitted[0])}
    await ready.executor.service.get(admitted[0], wait_seconds=10)
    assert ready.sandbox.started == admitted
    assert await ready.counts() == (1, 1)


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ({**PROGRAM, "limits": {"wall_seconds": 301}}, "limits.wall_seconds"),
        ({**PROGRAM, "limits": {"memory_mb": 4096}}, "limits.memory_mb"),
        ({**PROGRAM, "limits": {"cpus": 5}}, "limits.cpus"),
        ({**PROGRAM, "limits": {"pids": 300}}, "limits.pids"),
        ({**PROGRAM, "limits": {"disk_mb": 2000}}, "limits.disk_mb"),
        ({**PROGRAM, "limits": {"output_kb": 9000}}, "limits.output_kb"),
        ({**PROGRAM, "network": {"mode": "allowlist", "domains": ["example.com"]}}, "network.mode"),
        ({**PROGRAM, "profile": "trusted"}, "profile"),
        ({**PROGRAM, "runtime": "sha256:" + "b" * 64}, "runtime"),
        ({"type": "generic", "operation": "launch", "details": {}}, "type"),
    ],
)
async def test_what_this_executor_does_not_allow_is_refused_though_it_was_approved(
    ready: Bench, action: dict[str, Any], field: str
) -> None:
    refusal = await refused(ready, ready.issuer.token(action))

    assert (refusal.reason, refusal.step) == (RefusalReason.NOT_ALLOWED_HERE, 6)
    assert refusal.detail.startswith(field)
    assert not ready.sandbox.prepared


async def test_an_approved_image_that_is_here_runs(ready: Bench) -> None:
    assert (await ready.run({**PROGRAM, "runtime": IMAGE})).status is ExecutionStatus.COMPLETED


async def test_a_language_that_the_sandbox_lacks_is_refused(store: Database, tmp_path: Path) -> None:
    made = bench(store, tmp_path)
    description = await made.sandbox.describe()

    async def python_only() -> Any:
        return dataclasses.replace(description, languages=description.languages[:1])

    made.sandbox.describe = python_only  # type: ignore[method-assign]
    refusal = await refused(made, made.issuer.token({**PROGRAM, "language": "bash"}))

    assert "offered: python" in refusal.detail


@pytest.mark.parametrize("code", ["print(", "x = '\u202e'", "a\x00b"])
async def test_code_that_the_analysis_blocks_is_refused(ready: Bench, code: str) -> None:
    refusal = await refused(ready, ready.issuer.token({**PROGRAM, "code": code}))

    assert (refusal.reason, refusal.step) == (RefusalReason.UNSAFE_CODE, 7)


async def test_findings_that_are_not_blocked_are_in_the_audit_log(ready: Bench) -> None:
    await ready.run({**PROGRAM, "code": "import subprocess"})

    entries = await ready.executor.ledger.audit.tail(2)
    assert entries[0].details["findings"] == ["python.starts_processes"]
    assert entries[0].details["approved_by"] == ["alice"]


async def test_an_audit_entry_of_a_refusal_holds_nothing_that_an_unsigned_token_claims(ready: Bench) -> None:
    await refused(ready, Issuer().token(subject="root"))
    await refused(ready, ready.issuer.token(audience="another"))

    unsigned, signed = await ready.executor.ledger.audit.tail(2)
    assert (unsigned.actor, unsigned.subject) == ("unknown", "unknown")
    # The signature held, but the token was not for us: it names nobody here either.
    assert signed.details["reason"] == "wrong_audience"


async def test_a_policy_can_block_less_and_allow_less(store: Database, tmp_path: Path) -> None:
    policy = ExecutorPolicy(ceilings=Ceilings(wall_seconds=10), blocked=FindingRules())
    made = bench(store, tmp_path, policy=policy)

    assert (await refused(made, made.issuer.token())).detail.startswith("limits.wall_seconds: 30 ")
    allowed = await made.run({**PROGRAM, "code": "print(", "limits": {"wall_seconds": 5}})
    assert allowed.status is ExecutionStatus.COMPLETED


async def test_an_admitted_call_comes_from_the_gate_alone_and_is_taken_once(ready: Bench) -> None:
    call = await ready.executor.service._gate.admit(ready.issuer.token(), None)  # pyright: ignore[reportPrivateUsage]
    assert isinstance(call, AdmittedCall)

    with pytest.raises(TypeError, match="Gate"):
        AdmittedCall(seal=object(), execution=call.execution, job=None, prepared=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="copied"):
        copy.copy(call)
    with pytest.raises(TypeError, match="copied"):
        pickle.dumps(call)
    call.take()
    with pytest.raises(RuntimeError, match="before"):
        call.take()


def test_no_module_but_the_gate_names_its_seal() -> None:
    naming = {path.name for path in Path("executor_mcp").rglob("*.py") if "GATE_SEAL" in path.read_text()}
    assert naming == {"admission.py", "gate.py"}
