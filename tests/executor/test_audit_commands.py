"""`hitl-executor audit`: what an operator does with the executor's log, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from executor_mcp.cli.application import application
from executor_mcp.measurements import Measurements
from server_kit.audit_courier import WitnessState
from tests.conftest import free_port

RUN = CliRunner()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose log has a few entries."""
    for name in ("builder", "other", "third"):
        assert run(tmp_path / "home", "agents", "add", name).exit_code == 0
    return tmp_path / "home"


def run(home: Path, *arguments: str, **more: str) -> Result:
    clean: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith(("HITL_", "EXECUTOR_"))
    }
    environment = {**clean, "EXECUTOR_HOME": str(home), "EXECUTOR_ISSUER": "http://127.0.0.1:1", **more}
    return RUN.invoke(application, list(arguments), env=environment)


def answer(home: Path, *arguments: str) -> dict[str, Any]:
    result = run(home, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_archived_log_verifies_here_and_elsewhere_with_its_segments(home: Path, tmp_path: Path) -> None:
    archived = answer(home, "audit", "archive", "--older-than-days", "0")
    assert archived["entries"] == 3
    verified = answer(home, "audit", "verify")
    assert (verified["intact"], verified["segments"], verified["entries"]) == (True, 2, 5)

    export = tmp_path / "runs.jsonl"
    assert run(home, "audit", "export", "--output", str(export)).exit_code == 0
    segments, witness = str(home / "audit-segments"), str(home / "audit-witness.jsonl")
    offline = ("audit", "verify", "--file", str(export), "--segments", segments, "--witness", witness)
    assert answer(home, *offline)["intact"] is True
    alone = run(home, "audit", "verify", "--file", str(export))
    assert (alone.exit_code, "missing_segment" in alone.output) == (1, True)
    export.write_bytes(export.read_bytes().replace(b'"actor":"operator"', b'"actor":"somebody"'))
    assert "edited_entry" in run(home, *offline).output
    export.write_text("no export\n")
    assert run(home, *offline).exit_code == 1


def test_a_lost_witness_is_named_and_a_new_one_is_recorded(home: Path) -> None:
    assert answer(home, "audit", "verify")["intact"] is True
    assert run(home, "audit", "export").exit_code == 0
    (home / "audit-witness.jsonl").unlink()
    refused = run(home, "agents", "add", "fourth")
    assert "new-witness" in refused.output
    made = answer(home, "audit", "new-witness", "--reason", "the disk was replaced")
    assert made["kept"] is None
    assert run(home, "agents", "add", "fourth").exit_code == 0
    assert answer(home, "audit", "verify")["intact"] is True


def test_the_doctor_says_when_the_second_witness_does_not_answer(home: Path) -> None:
    assert run(home, "audit", "export").exit_code == 0
    settings = {
        "EXECUTOR_AUDIT__WITNESS__URL": f"http://127.0.0.1:{free_port()}/",
        "EXECUTOR_AUDIT__WITNESS__TIMEOUT_SECONDS": "0.3",
        "EXECUTOR_SANDBOX": "bubblewrap",
    }
    result = run(home, "doctor", "--json", **settings)
    found = {one["name"]: one for one in json.loads(result.stdout)}
    assert (found["audit witness"]["ok"], found["audit witness"]["needed"]) == (False, False)
    assert "lacks 3 entries" in found["audit witness"]["detail"]


def test_the_metrics_show_how_far_the_second_witness_lags_behind() -> None:
    measurements = Measurements()
    assert b"audit_witness" not in measurements.exposition()
    measurements.watch_witness(lambda: WitnessState(7, 1.5, 2, disputed=True, problem="it answered 409"))
    shown = measurements.exposition().decode()
    for line in ("behind_entries 7.0", "behind_seconds 1.5", "disputed 1.0"):
        assert f"hitl_executor_audit_witness_{line}" in shown
