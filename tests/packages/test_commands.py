"""`hitl-executor packages` and what `doctor` says of packages and network, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from executor_mcp.cli.application import application
from tests.conftest import free_port
from tests.packages.npm_support import serving
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


@pytest.mark.timeout(180)
def test_packages_of_nodejs_have_a_list_records_and_commands_of_their_own(tmp_path: Path) -> None:
    known = tmp_path / "npm.json"
    package = {"ecosystem": "npm", "name": "@scope/name"}
    known.write_text(json.dumps({"id": "OSV-2", "affected": [{"package": package, "versions": ["0.9.0"]}]}))
    home = tmp_path / "home"
    add = ("packages", "add", "@scope/name@1.0.0", "--language", "nodejs", "--nodejs", "18")
    with serving() as registry:
        registry.publish("@scope/name", "1.0.0", {"index.js": ""})
        surroundings = {
            "EXECUTOR_PACKAGES__NODEJS": "@scope/name@^1",
            "EXECUTOR_PACKAGES__VULNERABILITIES__SOURCE": "osv_snapshot",
            "EXECUTOR_PACKAGES__VULNERABILITIES__FILE": str(tmp_path / "python.json"),
            "EXECUTOR_PACKAGES__VULNERABILITIES__NODEJS_FILE": str(known),
            "npm_config_registry": registry.url,
        }
        other = run(home, *add, **surroundings | {"EXECUTOR_PACKAGES__NODEJS": "name"})
        assert (other.exit_code, "packages.nodejs" in other.output) == (1, True), other.output
        wrong = run(home, *add, **surroundings | {"EXECUTOR_PACKAGES__NODEJS": "@scope/name@latest"})
        assert (wrong.exit_code != 0, "no Node.js package" in wrong.output) == (True, True), wrong.output
        added = run(home, *add, "--json", **surroundings)
        assert added.exit_code == 0, added.output
        document = json.loads(added.stdout)
        assert (document["package"], document["language"], document["interpreter"]) == (
            "@scope/name@1.0.0",
            "nodejs",
            "18",
        )
        assert document["contents"] == ["@scope/name@1.0.0"]
    listed = run(home, "packages", "list", **surroundings, COLUMNS="200")
    assert ("Node.js 18" in listed.output, "offered" in listed.output) == (True, True), listed.output
    assert run(home, "packages", "scan", **surroundings).exit_code == 0
    known.write_text("[]")
    unknown = run(home, "packages", "scan", "--json", **surroundings)
    assert (unknown.exit_code, "holds no record" in unknown.output) == (1, True)
    assert run(home, "packages", "remove", "@scope/name@1.0.0", **surroundings).exit_code == 0
    assert run(home, "audit", "verify", **surroundings).exit_code == 0
