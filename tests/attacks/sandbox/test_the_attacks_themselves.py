"""The suite is as large as it says, its judge sees what it has to see, and its programs bite."""

from __future__ import annotations

import dataclasses
import re
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from executor_mcp.sandbox import bubblewrap
from executor_mcp.sandbox.base import CreatedFile, ResourceUsage, SandboxOutcome
from executor_mcp.sandbox.bubblewrap import BubblewrapSandbox
from tests.attacks.sandbox.attack import ATTACKS, BACKENDS, GROUPS, Attack, read_attack
from tests.attacks.sandbox.campaign import judge, run_campaign
from tests.sandbox.conftest import REPOSITORY

EVERYTHING_IS_ALLOWED = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
HELD = SandboxOutcome(
    termination="exited",
    exit_code=0,
    stdout=b"held\n",
    stderr=b"",
    truncated=False,
    result_json=None,
    files=(),
    files_truncated=False,
    usage=ResourceUsage(0.1, None, None, 5),
)
# What a kernel without a filter in front of it gives to an unprivileged program.
BITES = {
    "asynchronous_io", "file_handles", "io_uring", "keyrings", "memory_of_other_nodes", "mounts", "netlink",
    "other_processes_memory", "perf_events", "personality", "secret_memory", "system_v_objects",
    "the_machine", "vsock", "watching_every_file",
}  # fmt: skip


def attack_named(name: str) -> Attack:
    return next(attack for attack in ATTACKS if str(attack) == name)


def test_there_are_more_than_a_hundred_attacks_of_every_kind() -> None:
    counted = Counter(attack.group for attack in ATTACKS)
    assert len(ATTACKS) >= 170
    assert set(counted) == set(GROUPS)
    assert min(counted.values()) >= 10
    assert {attack.language for attack in ATTACKS} == {"python", "bash", "nodejs"}


def test_every_attack_says_what_it_is_after_and_no_two_say_the_same() -> None:
    goals = [attack.goal for attack in ATTACKS]
    assert all(goal.endswith(".") for goal in goals)
    assert len(set(goals)) == len(goals)
    assert len({str(attack) for attack in ATTACKS}) == len(ATTACKS)


def test_a_header_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.python"
    for key in ('ned = ["exited 0"]', "[docker]\n# nothing = true"):
        path.write_text(f'# goal = "x"\n# {key}\n')
        with pytest.raises(ValueError, match="unknown key"):
            read_attack(path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"stdout": b"BREACH: root\nheld\n"}, "BREACH: root"),
        ({"stderr": b"some\nBREACH: root"}, "BREACH: root"),
        ({"exit_code": 1}, "ended as 'exited 1'"),
        ({"termination": "sandbox_failed", "exit_code": None}, "ended as 'sandbox_failed'"),
        ({"stdout": b""}, "said ''"),
        ({"files": (CreatedFile("passwd", 1, "0", "text/plain", b"x"),)}, r"left the files \['passwd'\]"),
        ({"files": (CreatedFile("x", 1, "0", "text/plain", b"a:x:0:0::/:/bin/sh"),)}, "what lies elsewhere"),
    ],
)
def test_the_judge_finds(change: dict[str, Any], fault: str) -> None:
    attack = attack_named("escapes/another_user.python")
    assert judge(attack, "docker", HELD) == []
    found = judge(attack, "docker", dataclasses.replace(HELD, **change))
    assert any(re.search(fault, each) for each in found), found


async def test_without_the_filter_the_attacks_on_the_kernel_get_somewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bubblewrap, "compile_profile", lambda _: EVERYTHING_IS_ALLOWED)
    attacks = [attack for attack in ATTACKS if attack.group == "kernel_surface" and attack.name in BITES]
    assert {attack.name for attack in attacks} == BITES
    campaign = await run_campaign(BubblewrapSandbox, "bubblewrap", attacks, at_a_time=4)
    assert [name for name, report in campaign.reports.items() if not report.faults] == []


def test_what_is_not_stopped_is_told_to_readers_and_nothing_else_is() -> None:
    page = (REPOSITORY / "docs/sandboxes.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+/[a-z_.]+)` \| ([a-z-]+) \| (.+) \|$", page, re.MULTILINE)
    stated = {
        (str(attack), backend, reason[0].upper() + reason[1:] + ".")
        for attack in ATTACKS
        for backend in BACKENDS
        if (reason := attack.expected[backend].not_stopped) is not None
    }
    assert set(rows) == stated
