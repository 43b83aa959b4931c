"""`python -m benchmarks consensus`: how long the consensus without a model takes, beside its parts."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Final

from benchmarks.corpus import Recorded, read_corpus
from benchmarks.measuring import Measurements
from code_safety.analysis import analyse, warm_up
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.risk.assessor import Assessor
from hitl_mcp.risk.consensus import Consensus
from hitl_mcp.risk.history import HistoryVote, PastOperation
from hitl_mcp.risk.patterns import PatternsVote
from hitl_mcp.risk.shapes import shape_of
from hitl_mcp.risk.static_analysis import StaticAnalysisVote
from server_kit.clock import SystemClock

TARGET_P99_MS: Final = 100.0
CONSENSUS: Final = "consensus"


class _FullRecord:
    """As long a record as is ever read: 50 approved and 50 denied operations, of every kind."""

    def __init__(self, corpus: Sequence[Recorded]) -> None:
        self._record = tuple(
            PastOperation(each.number, shape_of(each.action), approved=index % 2 == 0)
            for index, each in enumerate(corpus[:100])
        )

    async def decided(self, agent: str) -> Sequence[PastOperation]:  # noqa: ARG002 - the protocol's signature
        return self._record


async def measure(corpus: Sequence[Recorded], rounds: int) -> Measurements:
    """Every action of the corpus, `rounds` times, with nothing remembered from the round before."""
    measurements = Measurements()
    for _ in range(rounds):
        history = HistoryVote(_FullRecord(corpus), SystemClock())
        parts: list[Assessor] = [PatternsVote(), StaticAnalysisVote(analyse), history]
        fresh: list[Assessor] = [PatternsVote(), StaticAnalysisVote(analyse), history]
        consensus, known = Consensus(fresh), Consensus(fresh)
        for each in corpus:
            agent = AgentFacts(each.agent)
            for part in parts:
                started = time.perf_counter()
                await part.assess(agent, each.submission)
                measurements.of(part.name).add(time.perf_counter() - started)
            for name, way in ((CONSENSUS, consensus), ("consensus, asked again", known)):
                started = time.perf_counter()
                await way.assess(agent, each.submission)
                measurements.of(name).add(time.perf_counter() - started)
    return measurements


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the 99th percentile is within its target, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks consensus", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="times through the corpus")
    options = parser.parse_args(arguments)
    warm_up()
    measurements = asyncio.run(measure(read_corpus(), options.rounds))
    for name, samples in measurements.by_name.items():
        slowest = max(samples.seconds) * 1000
        print(f"{name:24} p50 {samples.p50:8.3f} ms   p99 {samples.p99:8.3f} ms   most {slowest:8.1f} ms")
    met = measurements.of(CONSENSUS).p99 <= TARGET_P99_MS
    print(f"p99 of the consensus at most {TARGET_P99_MS:g} ms: {'yes' if met else 'NO'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
