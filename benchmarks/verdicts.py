"""Targets of the sandboxes' benchmarks: measured values beside their bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Verdict:
    """A measured value beside its bound; `at_least` tells the side of it that is good."""

    name: str
    value: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def report(numbers: Mapping[str, float], verdicts: Sequence[Verdict], output: Path | None = None) -> int:
    """Print them, and write them to `output`; the exit code: 0 when every target was met, 1 otherwise."""
    if output is not None:
        document = {"numbers": numbers, "targets": {one.name: [one.value, one.met] for one in verdicts}}
        output.write_text(json.dumps(document, indent=2) + "\n")
    console = Console()
    table = Table("measured", "value")
    for name, value in numbers.items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)
    table = Table("target", "bound", "measured", "met")
    for verdict in verdicts:
        side = "at least" if verdict.at_least else "at most"
        table.add_row(
            verdict.name, f"{side} {verdict.bound:g}", f"{verdict.value:.2f}", "yes" if verdict.met else "NO"
        )
    console.print(table)
    return 0 if all(verdict.met for verdict in verdicts) else 1
