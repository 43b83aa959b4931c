"""A package that nobody had: refused, asked for, approved by a person, added once, imported by a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.house import ToolRefused, open_house
from tests.packages.npm_support import Registry, serving
from tests.packages.support import make_wheel

pytestmark = pytest.mark.timeout(180)
PROGRAM: dict[str, Any] = {
    "type": "code_execution",
    "language": "python",
    "code": "import alpha, beta\n[alpha.VERSION, beta.VERSION]",
    "packages": ["alpha==1.0"],
}


NODEJS: dict[str, Any] = {
    "type": "code_execution",
    "language": "nodejs",
    "code": "const outer = require('@scope/outer'); outer",
    "packages": ["@scope/outer@1.0.0"],
}


def publish(registry: Registry) -> None:
    for number in (1, 2):
        registry.publish("inner", f"{number}.0.0", {"index.js": f"module.exports = {number};"})
    helper = {"index.js": "module.exports = require('inner');"}
    registry.publish("helper", "1.0.0", helper, dependencies={"inner": "^2"})
    outer = {"index.js": "module.exports = [require('inner'), require('helper')];"}
    needs = {"inner": "^1", "helper": "*"}
    registry.publish("@scope/outer", "1.0.0", outer, dependencies=needs, engines={"node": ">=18"})


def surroundings(home: Path, registry: Registry) -> dict[str, str]:
    index = home / "index"
    index.mkdir()
    make_wheel(index, "alpha", "1.0", needs=["beta"])
    make_wheel(index, "beta", "1.5")
    uv, known = home / "uv.toml", home / "known.json"
    uv.write_text(f'no-index = true\nfind-links = ["{index}"]\n')
    affected = [
        {"package": {"ecosystem": ecosystem, "name": "alpha"}, "versions": ["0.9.0"]}
        for ecosystem in ("PyPI", "npm")
    ]
    known.write_text(json.dumps({"id": "OSV-1", "affected": affected}))
    return {
        "UV_CONFIG_FILE": str(uv),
        "UV_CACHE_DIR": str(home / "cache"),
        "npm_config_registry": registry.url,
        "EXECUTOR_PACKAGES__ADDITIONS__ALLOWED": "alpha",
        "EXECUTOR_PACKAGES__ADDITIONS__NODEJS_ALLOWED": "@scope/*@^1",
        "EXECUTOR_PACKAGES__VULNERABILITIES__SOURCE": "osv_snapshot",
        "EXECUTOR_PACKAGES__VULNERABILITIES__FILE": str(known),
    }


async def test_a_package_that_a_person_approves_is_there_for_the_programs_that_come_after(
    tmp_path: Path,
) -> None:
    with serving() as registry:
        publish(registry)
        await _add_for_both_languages(tmp_path, registry)


async def _add_for_both_languages(home: Path, registry: Registry) -> None:
    async with (
        open_house(home, settings=surroundings(home, registry)) as house,
        house.agent("approval") as asking,
        house.agent("executor") as running,
    ):

        async def approved(action: dict[str, Any]) -> str:
            asked = await asking.ask(action)
            assert asked["status"] == "PENDING"
            await house.decide(asked)
            answer = await asking.call("check_status", request_id=asked["request_id"], wait_seconds=20)
            return answer["capability_token"]

        # What a program may not have yet, the agent is told how to get.
        early = await approved(PROGRAM)
        with pytest.raises(ToolRefused, match=r"package_not_allowed.*package_addition"):
            await running.call("execute", capability_token=early)
        offered = (await running.call("list_languages"))["package_additions"]
        assert (offered["allowed"], offered["nodejs_allowed"]) == (["alpha"], ["@scope/*@^1"])
        wanted = (await running.call("validate_code", action=PROGRAM))["ask_instead"]
        whole = (await running.call("validate_code", action=wanted))["ask_instead"]
        assert (whole["packages"], whole["needs"]) == (["alpha==1.0"], ["beta==1.5"])
        explained = await asking.call("explain_policy", action=whole)
        assert explained["risk_level"] == "high"

        # People see all of it, from a session alone, and it is done once.
        token = await approved(whole)
        added = await running.call("execute", capability_token=token, wait_seconds=40)
        assert (added["status"], added["result"]["added"][0]["package"]) == ("completed", "alpha==1.0")
        with pytest.raises(ToolRefused, match="already executed"):
            await running.call("execute", capability_token=token)

        ran = await running.call("execute", capability_token=early, wait_seconds=40)
        assert (ran["status"], ran["result"]) == ("completed", ["1.0", "1.5"]), ran

        # Node.js: two versions of one package come along, and people see both.
        wanted = (await running.call("validate_code", action=NODEJS))["ask_instead"]
        whole = (await running.call("validate_code", action=wanted))["ask_instead"]
        assert whole["needs"] == ["helper@1.0.0", "inner@1.0.0", "inner@2.0.0"]
        added = await running.call("execute", capability_token=await approved(whole), wait_seconds=40)
        assert (added["status"], added["result"]["added"][0]["package"]) == (
            "completed",
            "@scope/outer@1.0.0",
        )
        ran = await running.call("execute", capability_token=await approved(NODEJS), wait_seconds=40)
        assert (ran["status"], ran["result"]) == ("completed", [1, 2]), ran
