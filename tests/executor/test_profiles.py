"""A profile bounds what an action may ask for; this executor's own ceilings hold besides."""

from __future__ import annotations

from typing import Any

import pytest

from executor_mcp.ceilings import Ceilings
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.interface.views import languages
from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.sandbox.base import LanguageDescription, SandboxDescription
from hitl_contract.action import parse_action
from hitl_contract.action_code import Language, Profile
from tests.executor.support import IMAGE, PROGRAM

SANDBOX = SandboxDescription(
    backend="docker",
    runtime="runc",
    image_digest=IMAGE,
    languages=(LanguageDescription(Language.PYTHON, "3.11.2", ("a==1",), input="here", result="there"),),
)
WIDE = ExecutorPolicy(ceilings=Ceilings(wall_seconds=3600, memory_mb=256), profiles=frozenset(Profile))


def problems(profile: str, policy: ExecutorPolicy = WIDE, **limits: Any) -> tuple[str, ...]:
    action = parse_action({**PROGRAM, "profile": profile, "limits": limits})
    return policy.problems(action, SANDBOX, None)


@pytest.mark.parametrize(("profile", "most"), [("restricted", 120), ("standard", 300), ("trusted", 3600)])
def test_each_profile_may_ask_for_more_than_the_one_before(profile: str, most: float) -> None:
    assert problems(profile, wall_seconds=most) == ()
    if profile != "trusted":
        (problem,) = problems(profile, wall_seconds=most + 1)
        assert f"limits.wall_seconds: {most + 1:g} is above the {most:g} of profile {profile}" in problem


@pytest.mark.parametrize("profile", Profile)
def test_no_profile_goes_beyond_the_executors_own_ceilings(profile: Profile) -> None:
    (problem,) = problems(profile, memory_mb=257)
    assert problem == "limits.memory_mb: 257 is above this executor's ceiling of 256"


def test_languages_and_profiles_are_told_with_all_that_an_agent_has_to_know() -> None:
    told = languages(SANDBOX, ExecutorPolicy(), AdditionRules())
    assert told.profiles == ("restricted", "standard")
    assert [(one.profile, one.limits.memory_mb) for one in told.profile_limits] == [
        ("restricted", 1024),
        ("standard", 2048),
    ]
    (python,) = told.languages
    assert (python.image_digest, python.input, python.result) == (IMAGE, "here", "there")
