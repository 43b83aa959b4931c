"""The targets, how a run compares with them, and its table and JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Measurements

FILLED = " with stored requests"
"""Ends the name of an operation that was measured on a filled database."""


@dataclass(frozen=True)
class Target:
    """A bound on the p50 of one operation: in milliseconds, or as a multiple of another operation's p50."""

    operation: str
    at_most: float
    times_of: str | None = None

    def measured(self, measurements: Measurements) -> float:
        value = measurements.of(self.operation).p50
        return value / measurements.of(self.times_of).p50 if self.times_of else value

    @property
    def description(self) -> str:
        unit = f" x {self.times_of}" if self.times_of else " ms"
        return f"{self.operation} <= {self.at_most:g}{unit}"


def targets(measurements: Measurements) -> list[Target]:
    """The targets for whatever was measured in this run."""
    every = [
        Target("http request_approval", 2.5, "http floor"),
        Target("http check_status", 1.5, "http floor"),
        Target("stdio request_approval", 2.5, "stdio floor"),
        Target("stdio check_status", 1.5, "stdio floor"),
        Target("decision to resume, one process", 15),
        Target("decision to resume, two processes", 150),
        Target("mint", 1),
    ]
    every += [
        Target(name, 1.2, name.removesuffix(FILLED)) for name in measurements.by_name if name.endswith(FILLED)
    ]
    names = measurements.by_name
    return [
        target
        for target in every
        if target.operation in names and (target.times_of is None or target.times_of in names)
    ]


def print_report(measurements: Measurements) -> bool:
    """Print both tables; True when every target was met."""
    console = Console()
    operations = Table("operation", "samples", "p50 ms", "p99 ms")
    for name, samples in measurements.by_name.items():
        operations.add_row(name, str(len(samples.seconds)), f"{samples.p50:.2f}", f"{samples.p99:.2f}")
    console.print(operations)
    verdicts = Table("target (p50)", "measured", "met")
    met = True
    for target in targets(measurements):
        value = target.measured(measurements)
        met = met and value <= target.at_most
        verdicts.add_row(target.description, f"{value:.2f}", "yes" if value <= target.at_most else "NO")
    console.print(verdicts)
    return met


def write_json(measurements: Measurements, path: Path) -> None:
    """Write the run as JSON, with what it ran on."""
    document = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "operations": {
            name: {
                "samples": len(samples.seconds),
                "p50_ms": round(samples.p50, 3),
                "p99_ms": round(samples.p99, 3),
            }
            for name, samples in measurements.by_name.items()
        },
        "targets": [
            {
                "target": target.description,
                "measured": round(target.measured(measurements), 3),
                "met": target.measured(measurements) <= target.at_most,
            }
            for target in targets(measurements)
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
