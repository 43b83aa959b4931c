"""What is critical is looked at for a while: shipped rules ask it, and people are told before they try."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import RequestStatus, Submission
from hitl_mcp.approvals.standing import standing_of
from hitl_mcp.approvals.terms import AgentFacts, RuleVerdict, Ruling, Terms
from hitl_mcp.cli.configuration import rules_files
from hitl_mcp.cli.policy_rules import load
from hitl_mcp.notifiers.cards import build_card
from hitl_mcp.notifiers.wording import facts
from hitl_mcp.policies.cases import stated_risk
from hitl_mcp.policies.counting import NothingCounted
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.people import KnownPeople
from hitl_mcp.terminal.standing_rows import standing_rows
from tests.approvals.conftest import WorldFactory, database_world
from tests.approvals.rules import RuleByWord
from tests.approvals.world import program, submission
from tests.architecture.repository import ROOT
from tests.conftest import ManualClock

__all__ = ["database_world"]

DEFAULT_RULES = ROOT / "hitl_mcp" / "configs" / "policies"
ACTIONS = Submission(program("print(1)"), "to see it run")


async def ruled(directory: Path, risk: RiskLevel) -> Ruling:
    rules = load(directory, KnownPeople())
    return await Evaluator(NothingCounted()).evaluate(
        rules, AgentFacts("builder"), ACTIONS, stated_risk(risk), ManualClock().now()
    )


async def test_the_default_rules_ask_nobody_about_critical_actions() -> None:
    assert (await ruled(DEFAULT_RULES, RiskLevel.CRITICAL)).verdict is RuleVerdict.DENY


async def test_the_example_that_opens_critical_actions_asks_for_a_long_look(tmp_path: Path) -> None:
    rules = shutil.copytree(DEFAULT_RULES, tmp_path / "rules")
    example = re.search(r"^  #   rules:\n(  #     .*\n)+", (rules / "00-thresholds.yaml").read_text(), re.M)
    assert example is not None
    (rules / "05-critical.yaml").write_text(re.sub(r"(?m)^  #   ", "", example[0]))
    ruling = await ruled(rules, RiskLevel.CRITICAL)
    assert (ruling.verdict, ruling.rule) == (RuleVerdict.ASK, "critical-needs-two-people")
    assert ruling.terms.minimum_review_seconds == 30
    assert ruling.terms.required_approvals == 2


async def test_asking_about_everything_asks_for_a_look_at_what_is_critical(tmp_path: Path) -> None:
    for name, text in rules_files("ask-everything").items():
        (tmp_path / name).write_text(text)
    critical, high = await ruled(tmp_path, RiskLevel.CRITICAL), await ruled(tmp_path, RiskLevel.HIGH)
    assert (critical.verdict, critical.terms.minimum_review_seconds) == (RuleVerdict.ASK, 10)
    assert critical.terms.required_assurance is Assurance.SESSION
    assert (high.rule, high.terms.minimum_review_seconds) == ("ask-everything", 0)


async def test_cards_and_the_terminal_say_it_before_anybody_is_refused(
    database_world: WorldFactory,
) -> None:
    world = database_world(RuleByWord(Terms(minimum_review_seconds=45)))
    record = await world.service.submit("agent-1", submission())
    card = build_card(record, review_url="https://approvals.example", nonce="n")
    assert ("Rule", "usual asks 1 approver after a look of 45 s; 0 of 1 so far") in facts(card)
    rows = dict(standing_rows(standing_of(record, world.clock.now()), pending=True))
    assert rows["look first"] == "45 s before an approval"
    assert record.request.status is RequestStatus.PENDING
