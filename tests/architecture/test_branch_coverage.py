"""Where a missed branch would be a hole, tests take every one: token, gate, state machine, audit chain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.architecture.repository import ROOT


@dataclass(frozen=True)
class Covered:
    """Modules whose every line and branch the named tests go through."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


COVERED = (
    Covered(
        "token and audit chain",
        (
            "hitl_contract/capability.py",
            "hitl_contract/verify.py",
            "hitl_contract/keys.py",
            "hitl_contract/audit_chain.py",
            "hitl_contract/audit_verification.py",
        ),
        (
            "tests/contract/test_capability_tokens.py",
            "tests/contract/test_public_keys.py",
            "tests/contract/test_audit_chain.py",
            "tests/contract/test_vectors.py",
        ),
    ),
    Covered(
        "state machine",
        ("hitl_mcp/approvals/state_machine.py", "hitl_mcp/approvals/quorum.py"),
        ("tests/approvals/test_state_machine.py", "tests/approvals/test_quorum.py"),
    ),
    Covered(
        "gate",
        (
            "executor_mcp/admission.py",
            "executor_mcp/gate.py",
            "executor_mcp/refusals.py",
            "executor_mcp/spent_tokens.py",
            "executor_mcp/start_record.py",
            "executor_mcp/token_checks.py",
            "executor_mcp/quotas.py",
        ),
        (
            "tests/executor/test_gate.py",
            "tests/executor/test_gate_unavailable.py",
            "tests/executor/test_edges.py",
            "tests/packages/test_admission.py",
            "tests/packages/test_additions.py::"
            "test_what_is_known_to_be_bad_or_not_known_at_all_is_refused_before_the_token_is_spent",
            "tests/executor/test_quotas.py",
            "tests/executor/test_waiting.py",
        ),
    ),
)


@pytest.fixture(scope="module")
def missed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[list[int], list[list[int]]]]:
    """The lines and branches of each file that the tests, run together, did not take."""
    directory = tmp_path_factory.mktemp("coverage")
    report = directory / "coverage.json"
    settings = directory / "coveragerc"
    # Watching these alone costs a fraction of watching all that the tests go through.
    modules = [f"{ROOT}/{module}" for covered in COVERED for module in covered.modules]
    settings.write_text("\n    ".join(["[run]\nbranch = true\ninclude =", *modules]))
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("--cov", f"--cov-config={settings}", f"--cov-report=json:{report}"),
            "--override-ini=filterwarnings=default",
            *(test for covered in COVERED for test in covered.tests),
        ],
        cwd=ROOT,
        # A data file of its own: runs in parallel must not read each other's.
        env={**os.environ, "COVERAGE_FILE": str(directory / "coverage")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    files = json.loads(report.read_text())["files"]
    return {name: (file["missing_lines"], file["missing_branches"]) for name, file in files.items()}


@pytest.mark.timeout(420)
@pytest.mark.parametrize("covered", COVERED, ids=lambda covered: covered.name)
def test_every_branch_is_taken(
    covered: Covered, missed: Mapping[str, tuple[list[int], list[list[int]]]]
) -> None:
    assert {module: missed[module] for module in covered.modules if any(missed[module])} == {}
