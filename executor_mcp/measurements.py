"""What is counted for Prometheus. Labels come from closed sets, never from a caller."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from server_kit.audit_courier import WitnessState
from server_kit.audit_metrics import WitnessLag


class Measurements:
    """One registry per executor, so that several can live in a process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._ended = Counter(
            "hitl_executor_executions", "Executions by how they ended", ["status"], registry=self._registry
        )
        self._refused = Counter(
            "hitl_executor_refusals", "Refused calls by reason", ["reason"], registry=self._registry
        )
        self._running = Gauge(
            "hitl_executor_running", "Programs that run in this process now", registry=self._registry
        )
        self._duration = Histogram(
            "hitl_executor_duration_seconds",
            "Seconds from a program's start to its end",
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=self._registry,
        )

    def watch_witness(self, state: Callable[[], WitnessState | None]) -> None:
        """Show how far the audit log's second witness lags behind."""
        self._registry.register(WitnessLag("hitl_executor", state))

    def watch_policy(self, problem: Callable[[], str | None]) -> None:
        """Show whether the policy in force is the one in the settings file."""
        stale = Gauge(
            "hitl_executor_policy_stale",
            "1 while the settings file holds a policy that could not be put in force",
            registry=self._registry,
        )
        stale.set_function(lambda: float(problem() is not None))

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def began(self) -> None:
        self._running.inc()

    def ended(self, status: str, seconds: float | None) -> None:
        self._running.dec()
        self._ended.labels(status).inc()
        if seconds is not None:
            self._duration.observe(seconds)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
