"""Who is run in the burst tier, and when an outer container has lived long enough: without any container."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor_mcp.sandbox.base import PackageLayer
from executor_mcp.sandbox.burst.life import Life, is_worn, may_become, needs_successor
from executor_mcp.sandbox.burst.program import outer_profile
from executor_mcp.sandbox.burst.rules import may_burst
from executor_mcp.sandbox.seccomp import load_profile
from executor_mcp.sandbox.settings import BurstSettings
from executor_mcp.settings import load
from hitl_contract.action_code import Profile
from server_kit.errors import ConfigurationError
from tests.sandbox.support import make_job

SETTINGS = BurstSettings(enabled=True, agents=frozenset({"ci"}))
JOB = replace(make_job("python", "1", profile=Profile.STANDARD), principal="ci")


def test_only_named_agents_and_profiles_are_run_in_the_tier_and_only_when_it_is_on() -> None:
    assert may_burst(SETTINGS, JOB)
    assert not may_burst(BurstSettings(), JOB)
    assert not may_burst(replace(SETTINGS, enabled=False), JOB)
    for principal in (None, "", "CI", "ci ", "another"):
        assert not may_burst(SETTINGS, replace(JOB, principal=principal))
    for profile in (Profile.RESTRICTED, Profile.TRUSTED):
        assert not may_burst(SETTINGS, replace(JOB, profile=profile))
    layer = PackageLayer("numpy==2.0", "sha256:0", Path("/layers/numpy"))
    assert not may_burst(SETTINGS, replace(JOB, packages=("numpy",), layers=(layer,)))


def test_it_is_off_unless_it_is_turned_on_for_somebody() -> None:
    assert load({}).burst.burst() == BurstSettings()
    assert not BurstSettings().enabled
    settings = load({"EXECUTOR_BURST__ENABLED": "true", "EXECUTOR_BURST__AGENTS": '["ci"]'}).burst.burst()
    assert settings == SETTINGS
    with pytest.raises(ConfigurationError, match="enabled needs agents"):
        load({"EXECUTOR_BURST__ENABLED": "true"})


@given(st.lists(st.sampled_from(list(Life)), max_size=6))
def test_a_container_never_opens_again_and_gone_is_the_end(path: list[Life]) -> None:
    now = Life.OPEN
    for then in path:
        if may_become(now, then):
            assert then is not Life.OPEN
            assert now is not Life.GONE
            assert not (now is Life.CONDEMNED and then is Life.RETIRING)
            now = then


@given(st.integers(0, 2000), st.floats(0, 2000))
def test_a_successor_is_made_before_one_is_worn(executions: int, age: float) -> None:
    facts: dict[str, Any] = {"executions": executions, "age": age}
    worn = is_worn(SETTINGS, **facts)
    assert worn == (executions >= SETTINGS.max_executions or age >= SETTINGS.max_age_seconds)
    assert needs_successor(SETTINGS, **facts) or not worn


def test_the_containers_profile_adds_nothing_but_what_namespaces_take() -> None:
    programs = load_profile()
    outer = outer_profile(programs)
    assert outer["defaultAction"] == "SCMP_ACT_ERRNO"
    added = [rule for rule in outer["syscalls"] if rule not in programs["syscalls"]]
    assert [rule["names"] for rule in added] == [
        [
            *("capset", "clone", "mount", "seccomp", "setgid", "setgroups", "sethostname", "setns"),
            *("setregid", "setresgid", "setresuid", "setreuid", "setuid", "umount2", "unshare"),
        ]
    ]
    rules = [rule for rule in outer["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    allowed = {name for rule in rules for name in rule["names"]}
    assert not allowed & {"ptrace", "bpf", "keyctl", "add_key", "io_uring_setup", "init_module", "pivot_root"}
