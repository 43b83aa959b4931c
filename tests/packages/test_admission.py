"""Packages at the gate: refused before the token is spent, and in the record and the receipt when given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor_mcp.errors import RefusalReason
from executor_mcp.interface.views import execution_answer, languages
from executor_mcp.packages.errors import PackageNotAllowed
from executor_mcp.receipts import verify_receipt
from executor_mcp.sandbox.base import PackageLayer, SandboxDescription
from hitl_contract.action import CodeExecution
from hitl_contract.action_code import Language
from server_kit.database.base import Database
from tests.executor.conftest import either_store
from tests.executor.support import PROGRAM, Bench, bench, refused

__all__ = ["either_store"]

LAYER = PackageLayer("alpha==1.0", "sha-256:" + "A" * 43, Path("/layers/alpha"))
ACTION: dict[str, Any] = {**PROGRAM, "packages": ["alpha>=1"]}


@dataclass
class Offer:
    """Offers one package, while it is allowed."""

    allowed: bool = True
    asked: list[SandboxDescription] = field(default_factory=list[SandboxDescription])

    async def layers(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        self.asked.append(sandbox)
        if program.packages and not self.allowed:
            raise PackageNotAllowed("packages: alpha has known vulnerabilities")
        return (LAYER,) if program.packages else ()

    async def offered(self, sandbox: SandboxDescription, language: Language) -> tuple[str, ...]:
        return ("alpha==1.0",) if language is Language.PYTHON else ("beta@2.0.0",)


async def test_packages_are_decided_before_the_token_is_spent_and_recorded_with_their_digests(
    either_store: Database, tmp_path: Path
) -> None:
    offer = Offer(allowed=False)
    made: Bench = bench(either_store, tmp_path, packages=offer)
    await made.executor.recovery.begin()
    token = made.issuer.token(ACTION)
    refusal = await refused(made, token)
    assert (refusal.reason, refusal.step, refusal.retryable) == (RefusalReason.PACKAGE_NOT_ALLOWED, 6, False)
    assert made.sandbox.prepared == 0
    bad = await made.executor.service.validate(ACTION)
    assert bad.verdict.refused_because == ("packages: alpha has known vulnerabilities",)

    # The same token, once the operator has seen to it.
    offer.allowed = True
    assert (await made.executor.service.validate(ACTION)).verdict.refused_because == ()
    execution_id = await made.executor.service.execute(token, None)
    execution = await made.executor.service.get(execution_id, wait_seconds=20)
    answer = execution_answer(execution, None)
    assert [(one.package, one.layer) for one in answer.packages] == [("alpha==1.0", LAYER.digest)]
    assert made.sandbox.runs[0]
    started = next(
        entry for entry in await made.executor.ledger.audit.tail(10) if entry.event == "execution.started"
    )
    assert started.details["packages"] == [f"alpha==1.0 {LAYER.digest}"]
    assert execution.receipt is not None
    receipt = verify_receipt(execution.receipt, made.executor.receipt_key.public_keys())
    assert receipt.packages == (f"alpha==1.0 {LAYER.digest}",)

    plain = await made.run()
    assert plain.packages == ()
    assert plain.receipt is not None
    assert verify_receipt(plain.receipt, made.executor.receipt_key.public_keys()).packages == ()
    description, policy = await made.executor.service.describe()
    offered = languages(description, policy, made.executor.service.additions)
    assert offered.packages
    by_language = {one.language: one.offered_packages for one in offered.languages}
    assert (by_language["python"], by_language["bash"]) == (("alpha==1.0",), ())
    assert by_language["nodejs"] == ("beta@2.0.0",)
    await made.executor.service.close()
    await made.executor.recovery.end()
