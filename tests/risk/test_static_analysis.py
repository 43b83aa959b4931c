"""What static analysis finds decides; the same action is analysed once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from code_safety.analysis import analyse
from code_safety.findings import Analysis, Finding, Place, Rule, Severity
from hitl_contract.action import Action
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.risk.static_analysis import StaticAnalysisVote, opinion_on
from server_kit.small_values import ON_THE_LOOP_CHARACTERS
from tests.risk.assessors import AGENT, python, submission


class Counted:
    """Finds nothing, and remembers in which threads it was asked."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def __call__(self, action: Action) -> Analysis:
        self.threads.append(threading.get_ident())
        return Analysis(())


async def test_the_worst_finding_is_the_vote() -> None:
    opinion = await StaticAnalysisVote(analyse).assess(
        AGENT, submission(python("import os\nos.system('x')\n"))
    )

    assert opinion.level is not None
    assert opinion.level.rank >= RiskLevel.MEDIUM.rank
    assert "(line 2)" in opinion.reason


async def test_a_program_in_which_nothing_is_found_is_low() -> None:
    opinion = await StaticAnalysisVote(analyse).assess(AGENT, submission())

    assert (opinion.level, opinion.reason) == (RiskLevel.LOW, "nothing found")


@pytest.mark.parametrize("severity", Severity)
def test_every_severity_is_a_level_of_the_same_name(severity: Severity) -> None:
    finding = Finding(Rule.PYTHON_WRITES_FILES, severity, "writes a file")

    level = opinion_on(Analysis((finding,))).level
    assert level is not None
    assert level.value == severity.value


def test_what_could_not_be_analysed_is_never_low() -> None:
    finding = Finding(Rule.NOT_ANALYSED, Severity.LOW, "no analysis for this")

    assert opinion_on(Analysis((finding,))).level is RiskLevel.MEDIUM


def test_many_findings_are_told_worst_first_and_counted() -> None:
    findings = tuple(
        Finding(Rule.PYTHON_WRITES_FILES, severity, f"finding {number}", Place(line=number))
        for number, severity in enumerate([Severity.LOW, Severity.HIGH, *[Severity.MEDIUM] * 6], 1)
    )

    reason = opinion_on(Analysis(findings)).reason

    assert reason.startswith("high: finding 2 (line 2); medium:")
    assert reason.endswith("and 3 more")


async def test_a_small_action_is_analysed_on_the_loop_and_only_once() -> None:
    counted = Counted()
    vote = StaticAnalysisVote(counted)

    for _ in range(3):
        await vote.assess(AGENT, submission())

    assert counted.threads == [threading.get_ident()]


async def test_a_large_action_is_analysed_in_a_thread() -> None:
    counted = Counted()

    await StaticAnalysisVote(counted).assess(AGENT, submission(python("x = 1\n" * ON_THE_LOOP_CHARACTERS)))

    assert len(counted.threads) == 1
    assert counted.threads != [threading.get_ident()]


async def test_votes_wait_until_the_analysers_are_loaded_and_the_loop_does_not() -> None:
    loaded, order = threading.Event(), list[str]()

    def load() -> None:
        loaded.wait(10)
        order.append("loaded")

    def analysed(action: Action) -> Analysis:
        order.append("analysed")
        return Analysis(())

    vote = StaticAnalysisVote(analysed, load)
    async with vote.warmed():
        early = asyncio.create_task(vote.assess(AGENT, submission()))
        await asyncio.wait({early}, timeout=0.05)
        assert not early.done()
        loaded.set()
        await early

    assert order == ["loaded", "analysed"]


async def test_analysers_that_cannot_be_loaded_leave_the_vote_to_the_analysis_itself() -> None:
    def broken() -> None:
        raise ImportError("tree-sitter")

    vote = StaticAnalysisVote(Counted(), broken)
    async with vote.warmed():
        assert (await vote.assess(AGENT, submission())).level is RiskLevel.LOW


async def test_without_a_server_the_first_vote_loads_the_analysers_in_a_thread_and_once() -> None:
    threads: list[int] = []
    vote = StaticAnalysisVote(Counted(), lambda: threads.append(threading.get_ident()))

    await asyncio.gather(*(vote.assess(AGENT, submission(python(f"x = {number}"))) for number in range(3)))

    assert len(threads) == 1
    assert threads != [threading.get_ident()]
