"""`python -m benchmarks corpus`: what the engine says about 1,000 recorded agent actions.

Each action goes the way of a request: what is known of the agent, the votes of the assessors and their
consensus, and the default rules. Nothing is stored and nobody is notified.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from code_safety.analysis import BuiltInStaticAnalysis, analyse
from hitl_contract.action import Action, parse_action
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RuleVerdict, Ruling
from hitl_mcp.policies.counting import NothingCounted
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.loading import load_rules, read_directory
from hitl_mcp.policies.people import KnownPeople
from hitl_mcp.policies.rules import RuleSet
from hitl_mcp.risk.consensus import Consensus
from hitl_mcp.risk.history import HistoryVote, PastOperation
from hitl_mcp.risk.patterns import PatternsVote
from hitl_mcp.risk.static_analysis import StaticAnalysisVote
from server_kit.clock import SystemClock

_ROOT: Final = Path(__file__).parent.parent
CORPUS: Final = _ROOT / "tests" / "corpus" / "actions.jsonl"
RULES: Final = _ROOT / "configs" / "policies"
LABELS: Final = ("harmless", "needs_look", "dangerous")

# A Tuesday morning: some rules look at the time.
_WHEN: Final = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of the corpus. `hidden`: its author expected names and keywords to miss it."""

    number: str
    label: str
    reason: str
    hidden: bool
    agent: str
    submission: Submission

    @property
    def action(self) -> Action:
        return self.submission.action


@dataclass(frozen=True, slots=True)
class Replayed:
    recorded: Recorded
    ruling: Ruling

    @property
    def asked_nobody(self) -> bool:
        return self.ruling.verdict is RuleVerdict.ALLOW

    def vote_of(self, assessor: str) -> RiskLevel | None:
        return next(vote.level for vote in self.ruling.risk.votes if vote.assessor == assessor)


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of every action."""

    results: tuple[Replayed, ...]

    def of(self, label: str) -> tuple[Replayed, ...]:
        return tuple(each for each in self.results if each.recorded.label == label)

    def count(self, label: str, verdict: RuleVerdict) -> int:
        return sum(each.ruling.verdict is verdict for each in self.of(label))

    def levels(self, label: str) -> Counter[RiskLevel]:
        return Counter(each.ruling.risk.level for each in self.of(label))

    def low_by(self, assessor: str, label: str) -> tuple[Replayed, ...]:
        """The actions of this label that this assessor alone takes for low risk."""
        return tuple(each for each in self.of(label) if each.vote_of(assessor) is RiskLevel.LOW)

    @property
    def got_through(self) -> tuple[Replayed, ...]:
        """Dangerous, and nobody asked."""
        return tuple(each for each in self.of("dangerous") if each.asked_nobody)

    @property
    def asked_in_vain(self) -> tuple[Replayed, ...]:
        """Harmless, and not allowed without asking."""
        return tuple(each for each in self.of("harmless") if not each.asked_nobody)


def read_corpus(path: Path = CORPUS) -> tuple[Recorded, ...]:
    """The recorded actions. Raises ValueError and InvalidAction for a line that holds none."""
    return tuple(_recorded(line) for line in path.read_text("utf-8").splitlines() if line.strip())


async def replay(corpus: Sequence[Recorded], rules: RuleSet) -> Replay:
    """With every assessor that needs no model, and an agent of which nothing is known."""
    history = HistoryVote(_NothingDecided(), SystemClock())
    consensus = Consensus([PatternsVote(), StaticAnalysisVote(analyse), history])
    evaluator = Evaluator(NothingCounted(), BuiltInStaticAnalysis())
    return Replay(tuple([await _replayed(each, consensus, evaluator, rules) for each in corpus]))


def default_rules(directory: Path = RULES) -> RuleSet:
    """The rules as they are shipped. Raises PolicyRefused where they cannot be loaded."""
    return load_rules(read_directory(directory), KnownPeople(), _WHEN)


async def _replayed(recorded: Recorded, way: Consensus, evaluator: Evaluator, rules: RuleSet) -> Replayed:
    agent = AgentFacts(recorded.agent)
    risk: RiskAssessment = await way.assess(agent, recorded.submission)
    return Replayed(recorded, await evaluator.evaluate(rules, agent, recorded.submission, risk, _WHEN))


def _recorded(line: str) -> Recorded:
    document = json.loads(line)
    claim = document["claim"]
    submission = Submission(
        action=parse_action(document["action"]),
        justification=document["justification"],
        risk_level=None if claim is None else RiskLevel(claim),
    )
    if document["label"] not in LABELS:
        raise ValueError(f"{document['id']}: no such label: {document['label']}")
    return Recorded(
        document["id"],
        document["label"],
        document["reason"],
        document["hidden"],
        document["agent"],
        submission,
    )


class _NothingDecided:
    async def decided(self, agent: str) -> Sequence[PastOperation]:  # noqa: ARG002 - the protocol's signature
        return ()
