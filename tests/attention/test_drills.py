"""The catalogue of drills."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from hitl_contract.action import action_digest
from hitl_mcp.approvals import events
from hitl_mcp.approvals.canaries import notice_of
from hitl_mcp.approvals.terms import AgentFacts, RuleVerdict
from hitl_mcp.attention.drills import EXERCISES, Exercise, drill_named, made_up_agent
from hitl_mcp.cli.policy_rules import load, local_assessor
from hitl_mcp.policies.counting import NothingCounted
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.findings import StaticFindings
from hitl_mcp.policies.people import KnownPeople
from tests.architecture.repository import ROOT
from tests.conftest import ManualClock

DEFAULT_RULES: Path = ROOT / "hitl_mcp" / "configs" / "policies"


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.drill.name)
def test_no_two_requests_of_a_drill_are_the_same(exercise: Exercise) -> None:
    digests = {action_digest(exercise.submission(Random(seed)).action) for seed in range(40)}
    assert len(digests) > 5


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.drill.name)
def test_what_gives_a_drill_away_is_told_whole(exercise: Exercise) -> None:
    assert drill_named(exercise.drill.name) == exercise.drill
    for ending in (events.CANARY_CAUGHT, events.CANARY_MISSED, events.CANARY_LAPSED):
        assert notice_of(ending, exercise.drill).endswith(exercise.drill.gives_away)


def test_names_of_drills_differ_and_an_unknown_one_is_none() -> None:
    assert len({each.drill.name for each in EXERCISES}) == len(EXERCISES)
    assert drill_named("removed-since") is None
    assert len({made_up_agent(Random(seed)) for seed in range(200)}) > 40


async def test_the_default_rules_allow_no_drill_and_ask_about_several() -> None:
    rules, assessor, agent = load(DEFAULT_RULES, KnownPeople()), local_assessor(), AgentFacts("anybody")
    evaluator, now = Evaluator(NothingCounted(), StaticFindings()), ManualClock().now()
    verdicts: dict[str, RuleVerdict] = {}
    for exercise in EXERCISES:
        for seed in range(3):
            submission = exercise.submission(Random(seed))
            risk = await assessor.assess(agent, submission)
            ruling = await evaluator.evaluate(rules, agent, submission, risk, now)
            assert ruling.verdict is not RuleVerdict.ALLOW, exercise.drill.name
            verdicts[exercise.drill.name] = ruling.verdict
    asked = {name for name, verdict in verdicts.items() if verdict is RuleVerdict.ASK}
    assert len(asked) >= 4
