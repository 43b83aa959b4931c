"""Vulnerabilities of npm's packages: versions as npm orders them, and no answer where a source knows none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from executor_mcp.packages.errors import VulnerabilitiesUnknown
from executor_mcp.packages.locked import Distribution
from executor_mcp.packages.osv import Advisories
from executor_mcp.packages.vulnerabilities import IndexMetadata, OsvSnapshot, SourceByEcosystem
from server_kit.clock import SystemClock
from tests.packages.support import Source

ASKED = Distribution(ecosystem="npm", name="@scope/name", version="1.5.0-rc.2")


def record(name: str = "@scope/name", ecosystem: str = "npm", **affected: Any) -> dict[str, Any]:
    package = {"ecosystem": ecosystem, "name": name}
    return {"id": "GHSA-1", "affected": [{"package": package, **affected}]}


def semver(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "SEMVER", "events": list(events)}]}


@pytest.mark.parametrize(
    ("affected", "hit"),
    [
        (semver({"introduced": "0"}, {"fixed": "1.5.0"}), True),
        (semver({"introduced": "0"}, {"fixed": "1.5.0-rc.2"}), False),
        (semver({"introduced": "0"}, {"fixed": "1.5.0-rc.10"}), True),
        (semver({"introduced": "1.5.0-rc.2"}, {"fixed": "2.0.0"}), True),
        (semver({"introduced": "1.5.0"}, {"fixed": "2.0.0"}), False),
        (semver({"introduced": "1.0.0"}, {"last_affected": "1.5.0-rc.1"}), False),
        (semver({"introduced": "1.0.0"}, {"last_affected": "1.5.0"}), True),
        ({"versions": ["1.5.0-rc.2"]}, True),
        ({"versions": ["1.5.0", "nonsense"]}, False),
        # Not understood is not "not affected".
        (semver({"introduced": "1.0"}), True),
        ({}, True),
    ],
)
def test_a_record_is_about_versions_as_npm_orders_them(affected: dict[str, Any], hit: bool) -> None:
    found = Advisories.of([record(**affected)]).about([ASKED])
    assert list(found) == (["@scope/name@1.5.0-rc.2"] if hit else [])


def test_names_and_versions_of_one_language_say_nothing_of_another() -> None:
    records = [record("same", versions=["1.0.0"]), record("same", "PyPI", versions=["2.0"])]
    python = [Distribution(name="same", version=version) for version in ("1.0.0", "2.0")]
    npm = [Distribution(ecosystem="npm", name=name, version="1.0.0") for name in ("same", "Same", "sa.me")]
    assert list(Advisories.of(records).about([*python, *npm])) == ["same==2.0", "same@1.0.0"]
    with pytest.raises(VulnerabilitiesUnknown, match="none about packages of npm"):
        Advisories.of(records[1:]).about([*python, *npm])


async def test_a_source_that_knows_nothing_of_npm_is_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "python.json"
    file.write_text(json.dumps([record("other", "PyPI", versions=["1"])]))
    python = OsvSnapshot(file, max_age_days=7, clock=SystemClock())
    with pytest.raises(VulnerabilitiesUnknown, match="none about packages of npm"):
        await python.known([ASKED])
    async with httpx2.AsyncClient(trust_env=False) as client:
        with pytest.raises(VulnerabilitiesUnknown, match="osv_snapshot or osv_api"):
            await IndexMetadata("http://127.0.0.1:1", client).known([ASKED])
    with pytest.raises(VulnerabilitiesUnknown, match="no source is set for packages of npm"):
        await SourceByEcosystem({"PyPI": python}).known([ASKED])
    both = SourceByEcosystem({"PyPI": python, "npm": Source(name="other")})
    assert both.name == "osv_snapshot python.json, other"
    assert await both.known([ASKED, Distribution(name="quiet", version="1")]) == {}
