"""Sources of vulnerabilities: snapshots, services over real HTTP, and what each cannot answer."""

from __future__ import annotations

import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from starlette.types import Receive, Scope, Send

from executor_mcp.packages.errors import VulnerabilitiesUnknown
from executor_mcp.packages.locked import Distribution
from executor_mcp.packages.osv import Advisories
from executor_mcp.packages.vulnerabilities import IndexMetadata, NoVulnerabilitySource, OsvApi, OsvSnapshot
from server_kit.clock import SystemClock
from tests.conftest import ManualClock
from tests.emulators.http_service import HttpService, serving

ASKED = (Distribution(name="Some.Package", version="1.5"), Distribution(name="quiet", version="1"))


def record(identifier: str = "OSV-1", name: str = "some-package", **affected: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": name}
    return {"id": identifier, "summary": "bad\nthing", "affected": [{"package": package, **affected}]}


def ranges(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


@pytest.mark.parametrize(
    ("affected", "hit"),
    [
        ({"versions": ["1.5"]}, True),
        ({"versions": ["1.5.0"]}, True),
        ({"versions": ["1.4", "nonsense"]}, False),
        (ranges({"introduced": "0"}, {"fixed": "1.6"}), True),
        (ranges({"introduced": "0"}, {"fixed": "1.5"}), False),
        (ranges({"fixed": "1.2"}, {"introduced": "0"}, {"introduced": "1.4"}), True),
        (ranges({"introduced": "1.0"}, {"last_affected": "1.5"}), True),
        (ranges({"introduced": "1.0"}, {"last_affected": "1.4"}), False),
        (ranges({"introduced": "1.6"}), False),
        ({}, True),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, True),
        (ranges({"introduced": "not a version"}), True),
    ],
)
def test_a_record_is_about_the_versions_that_it_names_and_about_all_when_it_is_not_understood(
    affected: dict[str, Any], hit: bool
) -> None:
    found = Advisories.of([record(**affected)]).about(ASKED)
    assert list(found) == (["Some.Package==1.5"] if hit else [])
    if hit:
        (known,) = found["Some.Package==1.5"]
        assert (known.identifier, known.summary) == ("OSV-1", "bad thing")
    assert Advisories.of([record(**affected) | {"withdrawn": "2030-01-01T00:00:00Z"}]).about(ASKED) == {}


VERSIONS = st.builds("{}.{}".format, st.integers(0, 9), st.integers(0, 9))


@given(version=VERSIONS, introduced=VERSIONS, fixed=VERSIONS)
def test_between_introduced_and_fixed_is_inside(version: str, introduced: str, fixed: str) -> None:
    advisories = Advisories.of([record(**ranges({"introduced": introduced}, {"fixed": fixed}))])
    found = advisories.about([Distribution(name="some_package", version=version)])
    mine, first, end = Version(version), Version(introduced), Version(fixed)
    if first < end:
        assert bool(found) == (first <= mine < end)
    else:
        assert bool(found) == (mine >= first and first != end)


async def test_a_snapshot_is_read_in_each_form_and_is_no_answer_when_old_empty_or_broken(
    tmp_path: Path,
) -> None:
    one, other = record(versions=["1.5"]), record("OSV-2", "unrelated", versions=["1"])
    array, lines, archive = tmp_path / "array.json", tmp_path / "lines.jsonl", tmp_path / "all.zip"
    array.write_text(json.dumps([one, other]))
    lines.write_text(f"{json.dumps(one)}\n{json.dumps(other)}\n")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("OSV-1.json", json.dumps(one))
        file.writestr("OSV-2.json", json.dumps(other))
    clock = ManualClock(datetime.fromtimestamp(array.stat().st_mtime + 60).astimezone())
    for path in (array, lines, archive):
        found = await OsvSnapshot(path, max_age_days=7, clock=clock).known(ASKED)
        assert [one.identifier for one in found["Some.Package==1.5"]] == ["OSV-1"]
        assert len(found) == 1
    snapshot = OsvSnapshot(array, max_age_days=7, clock=clock)
    clock.advance(8 * 86400)
    with pytest.raises(VulnerabilitiesUnknown, match="8 days old"):
        await snapshot.known(ASKED)
    for name, text in {
        "none": "[]",
        "others": json.dumps([{"id": "GO-1", "affected": [{"package": {"ecosystem": "Go", "name": "x"}}]}]),
        "cut": '[{"id": "OSV-1"',
        "foreign": '{"hello": 1}',
        "binary": "PK\x03\x04",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(VulnerabilitiesUnknown):
            await OsvSnapshot(tmp_path / name, max_age_days=7, clock=SystemClock()).known(ASKED)
    with pytest.raises(VulnerabilitiesUnknown, match="cannot be read"):
        await OsvSnapshot(tmp_path / "absent", max_age_days=7, clock=SystemClock()).known(ASKED)
    with pytest.raises(VulnerabilitiesUnknown, match=r"packages\.vulnerabilities\.source"):
        await NoVulnerabilitySource().known(ASKED)


@dataclass
class Service(HttpService):
    """Answers by package; anything else gets `status`."""

    answers: dict[str, object] = field(default_factory=dict[str, object])
    status: int = 200

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            question = json.loads((await receive())["body"])
            assert question["package"]["ecosystem"] == (
                "npm" if "/" in question["package"]["name"] else "PyPI"
            )
            key = f"{question['package']['name']} {question['version']}"
        else:
            key = " ".join(scope["path"].split("/")[2:4])
        body = self.answers.get(key, b"")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": content})


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(Service()) as served:
        yield served


async def test_a_service_answers_for_every_package_or_not_at_all(service: Service) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        osv, metadata = OsvApi(service.url + "/", client), IndexMetadata(service.url, client)
        service.answers = {"Some.Package 1.5": {"vulns": [record()]}, "quiet 1": {}}
        assert [one.identifier for one in (await osv.known(ASKED))["Some.Package==1.5"]] == ["OSV-1"]
        of_npm = Distribution(ecosystem="npm", name="@scope/name", version="1.0.0")
        service.answers = {"@scope/name 1.0.0": {"vulns": [record()]}}
        assert list(await osv.known([of_npm])) == ["@scope/name@1.0.0"]
        known = {"id": "PYSEC-1", "aliases": ["CVE-1"], "details": "x", "withdrawn": None}
        gone = {"id": "PYSEC-2", "withdrawn": "2030-01-01T00:00:00Z"}
        service.answers = {
            "Some.Package 1.5": {"info": {}, "vulnerabilities": [known, gone]},
            "quiet 1": {"vulnerabilities": []},
        }
        found = await metadata.known(ASKED)
        assert list(found) == ["Some.Package==1.5"]
        assert [one.names for one in found["Some.Package==1.5"]] == [{"PYSEC-1", "CVE-1"}]

        good: object = {"vulnerabilities": [], "vulns": []}
        for bad in (b"", b"<html>", b"[]", {"vulns": 3}, {"vulns": [{}], "vulnerabilities": [{}]}, {"x": 1}):
            service.answers = {"Some.Package 1.5": good, "quiet 1": bad}
            with pytest.raises(VulnerabilitiesUnknown):
                await metadata.known(ASKED)
            if bad != {"x": 1}:
                with pytest.raises(VulnerabilitiesUnknown):
                    await osv.known(ASKED)
        service.answers = {"Some.Package 1.5": good, "quiet 1": {"next_page_token": "more"}}
        with pytest.raises(VulnerabilitiesUnknown, match="more pages"):
            await osv.known(ASKED)
        service.status = 404
        for source in (osv, metadata):
            with pytest.raises(VulnerabilitiesUnknown, match="404"):
                await source.known(ASKED)
        service.status = 302
        with pytest.raises(VulnerabilitiesUnknown):
            await osv.known(ASKED)
        away = OsvApi("http://127.0.0.1:1", client)
        with pytest.raises(VulnerabilitiesUnknown, match="cannot be asked"):
            await away.known(ASKED)
