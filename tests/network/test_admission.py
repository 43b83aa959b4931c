"""Network at the gate and in the record: what the policy allows, and what the program asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from executor_mcp.errors import RefusalReason
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.interface.views import execution_answer, languages, output_file
from executor_mcp.network.networked import NetworkedSandbox, NetworkRules
from executor_mcp.network.settings import NetworkSettings
from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.policy_settings import PolicySettings
from executor_mcp.receipts import output_digest, verify_receipt
from executor_mcp.sandbox.base import Connection, Sandbox
from server_kit.database.base import Database
from server_kit.errors import ConfigurationError
from tests.executor.conftest import either_store
from tests.executor.support import PROGRAM, TwinSandbox, bench, outcome, refused

__all__ = ["either_store"]

CONNECTIONS = (
    Connection("api.example.com", 443, "93.184.216.34", "allowed", 700, 1400),
    Connection("evil.example.org", 80, None, "name_not_allowed", 0, 0),
)


def asking_for(*domains: str) -> dict[str, Any]:
    return {**PROGRAM, "network": {"mode": "allowlist", "domains": list(domains)}}


async def test_names_beyond_the_policy_are_refused_unspent_and_every_connection_is_in_the_record(
    either_store: Database, tmp_path: Path
) -> None:
    sandbox = TwinSandbox(outcome=replace(outcome(), connections=CONNECTIONS))
    policy = ExecutorPolicy(domains=("api.example.com", "*.internal.example.com"))
    made = bench(either_store, tmp_path, sandbox=sandbox, policy=policy)
    await made.executor.recovery.begin()
    refusal = await refused(
        made, made.issuer.token(asking_for("a.internal.example.com", "internal.example.com"))
    )
    assert (refusal.reason, refusal.step) == (RefusalReason.NOT_ALLOWED_HERE, 6)
    assert refusal.detail == (
        "network.domains: internal.example.com may not be reached from here; "
        "allowed: api.example.com, *.internal.example.com"
    )
    execution = await made.run(asking_for("api.example.com"))
    answer = execution_answer(execution, None)
    assert [(one.host, one.verdict, one.sent, one.received) for one in answer.connections] == [
        ("api.example.com", "allowed", 700, 1400),
        ("evil.example.org", "name_not_allowed", 0, 0),
    ]
    found = await made.executor.service.output_file(execution.execution_id, "/dev/connections")
    assert '"address": "93.184.216.34"' in str(output_file(found, 0).text)
    assert execution.outcome is not None
    assert execution.receipt is not None
    digest = verify_receipt(execution.receipt, made.executor.receipt_key.public_keys()).output_digest
    assert digest == output_digest(execution.outcome)
    assert digest != output_digest(replace(execution.outcome, connections=CONNECTIONS[:1]))
    finished = next(
        entry for entry in await made.executor.ledger.audit.tail(10) if entry.event == "execution.finished"
    )
    assert finished.details["connections"] == {
        "allowed": 1,
        "refused": 1,
        "hosts": ["api.example.com:443 allowed", "evil.example.org:80 name_not_allowed"],
    }
    description, in_force = await made.executor.service.describe()
    offered = languages(description, in_force, AdditionRules())
    assert (offered.network_modes, offered.network_domains) == (("none", "allowlist"), policy.domains)
    gvisor = replace(description, backend="gvisor")
    assert languages(gvisor, in_force, AdditionRules()).network_modes == ("none",)
    await made.executor.service.close()
    await made.executor.recovery.end()


def test_settings_of_the_network_are_names_ports_and_certificates_that_can_be_read(tmp_path: Path) -> None:
    assert PolicySettings().policy().domains == ()
    for wrong in (
        "https://api.example.com",
        "api.example.com:443",
        "*",
        "*.com.",
        "10.0.0.1",
        "A.example.com",
    ):
        with pytest.raises(ValidationError):
            PolicySettings(network_domains=(wrong,))
    assert PolicySettings(network_domains=("*.example.com",)).policy().domains == ("*.example.com",)
    with pytest.raises(ValidationError):
        NetworkSettings(ports=(0,))
    authorities = tmp_path / "authorities.pem"
    with pytest.raises(ConfigurationError, match=r"network\.certificates"):
        NetworkSettings(certificates=authorities).read_certificates()
    authorities.write_text("PEM")
    assert NetworkSettings(certificates=authorities).read_certificates() == "PEM"


@dataclass(frozen=True)
class Sizes:
    """A pool as it is now."""

    ready: int = 3
    launching: int = 0
    taken: int = 0
    waiting_callers: int = 0
    served_warm: int = 9
    served_cold: int = 1


@dataclass
class PooledTwin(TwinSandbox):
    """A sandbox twin with a warm pool."""

    def report(self) -> Sizes:
        return Sizes()


async def test_a_sandbox_with_a_network_around_it_still_shows_its_pool_and_runs_what_needs_none(
    either_store: Database, tmp_path: Path
) -> None:
    inner = PooledTwin()
    networked: Any = NetworkedSandbox(cast("Sandbox", inner), NetworkRules())
    made = bench(either_store, tmp_path, sandbox=networked)
    await made.executor.recovery.begin()
    execution = await made.run()
    assert (execution.status, execution.outcome and execution.outcome.connections) == ("completed", ())
    assert len(inner.started) == 1
    metrics = made.executor.measurements.exposition().decode()
    assert 'hitl_executor_pool_containers{state="ready"} 3' in metrics
    await made.executor.service.close()
    await made.executor.recovery.end()
    await networked.close()
    assert inner.closed
