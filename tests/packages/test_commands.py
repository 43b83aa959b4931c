"""`hitl-executor packages` and what `doctor` says of packages and network, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from executor_mcp.cli.application import application
from tests.conftest import free_port
from tests.packages.support import make_wheel

RUN = CliRunner()


def run(home: Path, *arguments: str, **more: str) -> Result:
    clean: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith(("HITL_", "EXECUTOR_"))
    }
    environment = {**clean, "EXECUTOR_HOME": str(home), "EXECUTOR_ISSUER": "http://127.0.0.1:1", **more}
    return RUN.invoke(application, list(arguments), env=environment)


def test_an_operator_adds_lists_scans_accepts_and_removes_a_package(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    make_wheel(index, "alpha", "1.0")
    uv, known = tmp_path / "uv.toml", tmp_path / "known.json"
    uv.write_text(f'no-index = true\nfind-links = ["{index}"]\n')
    package = {"ecosystem": "PyPI", "name": "alpha"}
    record: dict[str, Any] = {"id": "OSV-1", "affected": [{"package": package, "versions": ["0.9"]}]}
    known.write_text(json.dumps(record))
    home = tmp_path / "home"
    surroundings = {
        "EXECUTOR_PACKAGES__PYTHON": "alpha>=1",
        "UV_CONFIG_FILE": str(uv),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }
    add = ("packages", "add", "alpha==1.0", "--python", "3.11")
    refused = run(home, *add, **surroundings)
    assert (refused.exit_code, "packages.vulnerabilities.source" in refused.output) == (1, True)

    surroundings["EXECUTOR_PACKAGES__VULNERABILITIES__SOURCE"] = "osv_snapshot"
    missing = run(home, *add, **surroundings)
    assert (missing.exit_code, "file is needed" in missing.output) != (0, False)
    surroundings["EXECUTOR_PACKAGES__VULNERABILITIES__FILE"] = str(known)
    added = run(home, *add, "--json", **surroundings)
    assert added.exit_code == 0, added.output
    assert json.loads(added.stdout)["contents"] == ["alpha==1.0"]

    record["affected"][0]["versions"] = ["1.0"]
    known.write_text(json.dumps(record))
    scanned = run(home, "packages", "scan", "--json", **surroundings)
    assert scanned.exit_code == 1
    assert json.loads(scanned.stdout)[0]["problem"] == "known vulnerabilities: alpha==1.0: OSV-1"
    (listed,) = json.loads(run(home, "packages", "list", "--json", **surroundings).stdout)
    assert "packages accept alpha==1.0" in listed["problem"]

    surroundings |= {
        "EXECUTOR_SANDBOX": "bubblewrap",
        "EXECUTOR_HTTP__PORT": str(free_port()),
        "EXECUTOR_POLICY__NETWORK_DOMAINS": "api.example.com",
    }
    doctor = run(home, "doctor", "--json", **surroundings)
    looks = {one["name"]: one for one in json.loads(doctor.stdout)}
    assert (looks["packages"]["ok"], looks["packages"]["needed"]) == (False, False)
    assert looks["network"]["ok"], looks["network"]
    assert "may be approved: api.example.com" in looks["network"]["detail"]

    accepted = run(home, "packages", "accept", "alpha==1.0", "OSV-1", **surroundings)
    assert accepted.exit_code == 0, accepted.output
    assert "offered" in run(home, "packages", "list", **surroundings).output
    assert run(home, "packages", "scan", **surroundings).exit_code == 0
    assert run(home, "packages", "remove", "alpha==1.0", **surroundings).exit_code == 0
    again = run(home, "packages", "remove", "alpha==1.0", **surroundings)
    assert (again.exit_code, "there are: none" in again.output) == (1, True)
    assert run(home, "audit", "verify", **surroundings).exit_code == 0
