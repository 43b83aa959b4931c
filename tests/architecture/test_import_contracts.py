"""The boundaries between the packages hold, and each contract that says so would notice a violation."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, copy_packages

pytestmark = pytest.mark.timeout(180)

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


@dataclass(frozen=True)
class Violation:
    """One import that a contract forbids, appended to a module of a copied tree."""

    contract: str
    module: str
    statement: str


VIOLATIONS = (
    Violation("servers-apart", "executor_mcp/__init__.py", "import hitl_mcp"),
    Violation("servers-apart", "hitl_mcp/__init__.py", "import executor_mcp"),
    Violation("contract-pure", "hitl_contract/verify.py", "import socket"),
    Violation("contract-pure", "hitl_contract/action.py", "import sqlalchemy"),
    Violation("contract-pure", "hitl_contract/display.py", "def later():\n    import asyncio"),
    Violation("contract-pure", "code_safety/__init__.py", "import executor_mcp"),
    Violation("server-kit-below", "server_kit/__init__.py", "import hitl_mcp"),
    Violation("server-kit-below", "server_kit/__init__.py", "import executor_mcp"),
    Violation("docker-in-one-place", "executor_mcp/runner.py", "import docker"),
    Violation("docker-in-one-place", "hitl_mcp/wiring.py", "from docker.models import containers"),
    Violation("private-key-at-home", "hitl_mcp/server.py", "import hitl_mcp.minting.keys"),
    Violation("private-key-at-home", "hitl_mcp/approvals/service.py", "from hitl_mcp.minting import keys"),
    Violation("approval-server-layers", "hitl_mcp/approvals/service.py", "import hitl_mcp.web"),
    Violation("approval-server-layers", "hitl_mcp/storage/__init__.py", "import hitl_mcp.tools"),
    Violation("approval-server-layers", "hitl_mcp/server.py", "import hitl_mcp.wiring"),
    Violation("concrete-only-in-wiring", "hitl_mcp/approvals/service.py", "import hitl_mcp.notifiers"),
    Violation("concrete-only-in-wiring", "hitl_mcp/tools/__init__.py", "import hitl_mcp.minting.signer"),
    Violation("executor-layers", "executor_mcp/gate.py", "import executor_mcp.runner"),
    Violation("executor-layers", "executor_mcp/sandbox/base.py", "import executor_mcp.gate"),
    Violation("sandbox-behind-protocol", "executor_mcp/gate.py", "import executor_mcp.sandbox.selection"),
    Violation("sandbox-behind-protocol", "executor_mcp/runner.py", "import executor_mcp.sandbox.bubblewrap"),
)


def contract_ids() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"] for contract in project["tool"]["importlinter"]["contracts"]}


def lint_imports(tree: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--cache-dir", str(cache), *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for all violations: its import graph is cached, so that each plant costs one file to read."""
    return copy_packages(tmp_path_factory.mktemp("planted"))


def test_every_import_contract_is_kept(tmp_path: Path) -> None:
    result = lint_imports(ROOT, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_import_contract_has_a_planted_violation() -> None:
    assert {violation.contract for violation in VIOLATIONS} == contract_ids()


@pytest.mark.parametrize(
    "violation",
    VIOLATIONS,
    ids=lambda violation: f"{violation.contract}-{violation.module}-{violation.statement[:30]}",
)
def test_a_planted_violation_breaks_its_contract(violation: Violation, copied_tree: Path) -> None:
    module = copied_tree / violation.module
    clean = module.read_text()
    module.write_text(f"{clean}\n{violation.statement}\n")
    try:
        result = lint_imports(copied_tree, copied_tree / "cache", "--contract", violation.contract)
    finally:
        module.write_text(clean)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
