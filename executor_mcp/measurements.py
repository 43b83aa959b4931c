"""What is counted for Prometheus. Labels come from closed sets, never from a caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from executor_mcp.models import Execution, ExecutionStatus
from executor_mcp.pool_metrics import BurstSizes, PoolSizes
from executor_mcp.sandbox_reports import find_burst, find_pool
from hitl_contract.action_code import Language
from server_kit.audit_courier import WitnessState
from server_kit.audit_metrics import WitnessLag

_OTHER: Final = "other"
_LANGUAGES: Final = frozenset(language.value for language in Language)
_SANDBOXES: Final = frozenset({"docker", "gvisor", "bubblewrap", "packages"})
_RUN_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WAIT_SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 15, 30, 60, 300)


class Measurements:
    """One registry per executor, so that several can live in a process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._ended = Counter(
            "hitl_executor_executions",
            "Executions by how they ended, language and sandbox",
            ["status", "language", "sandbox"],
            registry=registry,
        )
        self._refused = Counter(
            "hitl_executor_refusals", "Refused calls by reason", ["reason"], registry=registry
        )
        self._spent = Counter("hitl_executor_spent_tokens", "Capability tokens spent", registry=registry)
        self._output = Counter(
            "hitl_executor_output_bytes",
            "Bytes that programs wrote",
            registry=registry,
        )
        self._running = Gauge(
            "hitl_executor_running", "Programs that run in this process now", registry=registry
        )
        self._duration = Histogram(
            "hitl_executor_duration_seconds",
            "Seconds from a program's start to its end",
            ["language", "sandbox"],
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self._waited = Histogram(
            "hitl_executor_queue_seconds",
            "Seconds that an admitted call waited for a place and a sandbox",
            buckets=_WAIT_SECONDS,
            registry=registry,
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

    def watch_pool(self, sandbox: object) -> None:
        """Show the sizes of the warm pool and of the burst tier, where the sandbox has them."""
        if (pool := find_pool(sandbox)) is not None:
            self._registry.register(PoolSizes(pool))
        if (burst := find_burst(sandbox)) is not None:
            self._registry.register(BurstSizes(burst))

    def refused(self, reason: str) -> None:
        """`reason` is a `RefusalReason`."""
        self._refused.labels(reason).inc()

    def waited(self, seconds: float) -> None:
        self._waited.observe(seconds)

    def spent(self) -> None:
        self._spent.inc()

    def began(self) -> None:
        self._running.inc()

    def ended(self, execution: Execution) -> None:
        """A program that `began` has ended."""
        self._running.dec()
        self.recorded(execution)

    def recorded(self, execution: Execution) -> None:
        """An end was recorded, of this process's program or of a dead one's."""
        kind = (_known(execution.language, _LANGUAGES), _known(execution.sandbox.backend, _SANDBOXES))
        self._ended.labels(execution.status.value, *kind).inc()
        if execution.duration_seconds is not None and execution.status is not ExecutionStatus.INTERRUPTED:
            self._duration.labels(*kind).observe(execution.duration_seconds)
        usage = None if execution.outcome is None else execution.outcome.usage
        if usage is not None:
            self._output.inc(usage.output_bytes)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)


def _known(value: str, allowed: frozenset[str]) -> str:
    return value if value in allowed else _OTHER
