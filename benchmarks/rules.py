"""`python -m benchmarks rules`: how long 200 rules with conditions take to say something about a request."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks.corpus import Recorded, read_corpus
from benchmarks.measuring import Measurements
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RiskVote
from hitl_mcp.policies.counting import NothingCounted
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.loading import load_rules
from hitl_mcp.policies.people import KnownPeople
from hitl_mcp.policies.rules import RuleSet

TARGET_P50_MS: Final = 1.0
_TYPES: Final = (
    ("code_execution", 'language == "python" && code_length > {n}00 && action.code.contains("word{n}")'),
    ("shell_command", 'size(action.argv) > 2 && action.argv.exists(word, word == "--option{n}")'),
    ("tool_call", 'action.tool.startsWith("verb{n}_") && !agent.trusted'),
    ("http_request", 'action.url.matches("^https://host{n}[.]example[.]com/")'),
    ("file_change", 'path.endsWith("/{n}.lock") || action.diff.contains("word{n}")'),
)


def many_rules(count: int) -> RuleSet:
    """`count` rules of every type of action, each with a condition of its own; every tenth denies."""
    lines = ["rules:"]
    for number in range(count):
        kind, condition = _TYPES[number % len(_TYPES)]
        verdict = "deny" if number % 10 == 0 else "ask"
        when = condition.replace("{n}", str(number)).replace('"', "'")
        lines += [
            f"- name: rule-{number}",
            f"  match: {{action: {kind}, environment: 'prod*', when: \"{when}\"}}",
            f"  then: {verdict}",
        ]
    return load_rules({"rules.yaml": "\n".join(lines)}, KnownPeople(), datetime.now(UTC))


async def measure(corpus: Sequence[Recorded], count: int, rounds: int) -> Measurements:
    """Every action of the corpus, in the environment that all rules are about: nothing is cut short."""
    measurements = Measurements()
    started = time.perf_counter()
    rules = many_rules(count)
    measurements.of("load").add(time.perf_counter() - started)
    evaluator, now = Evaluator(NothingCounted()), datetime.now(UTC)
    risk = RiskAssessment(RiskLevel.LOW, (RiskVote("static analysis", RiskLevel.LOW, ""),))
    for _ in range(rounds):
        for each in corpus:
            agent = AgentFacts(each.agent, environment="production")
            started = time.perf_counter()
            await evaluator.evaluate(rules, agent, each.submission, risk, now)
            measurements.of("evaluate").add(time.perf_counter() - started)
    return measurements


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the median is within its target, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks rules", description=__doc__)
    parser.add_argument("--rules", type=int, default=200, help="how many rules")
    parser.add_argument("--rounds", type=int, default=5, help="times through the corpus")
    options = parser.parse_args(arguments)
    measurements = asyncio.run(measure(read_corpus(), options.rules, options.rounds))
    for name, samples in measurements.by_name.items():
        print(f"{name:10} p50 {samples.p50:8.3f} ms   p99 {samples.p99:8.3f} ms")
    met = measurements.of("evaluate").p50 <= TARGET_P50_MS
    print(f"p50 of an evaluation at most {TARGET_P50_MS:g} ms: {'yes' if met else 'NO'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
