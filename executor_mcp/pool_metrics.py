"""The sizes of a warm pool for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class PoolFigures(Protocol):
    """What a pool says of itself."""

    @property
    def ready(self) -> int: ...
    @property
    def launching(self) -> int: ...
    @property
    def taken(self) -> int: ...
    @property
    def waiting_callers(self) -> int: ...
    @property
    def served_warm(self) -> int: ...
    @property
    def served_cold(self) -> int: ...


@runtime_checkable
class ReportsPool(Protocol):
    """A sandbox with a warm pool."""

    def report(self) -> PoolFigures: ...


class PoolSizes(Collector):
    """Containers by state, calls that wait for one, and calls served warm and cold."""

    def __init__(self, sandbox: ReportsPool) -> None:
        self._sandbox = sandbox

    def collect(self) -> Iterator[Metric]:
        report = self._sandbox.report()
        containers = GaugeMetricFamily(
            "hitl_executor_pool_containers", "Containers of the warm pool by state", labels=["state"]
        )
        for state, number in (
            ("ready", report.ready),
            ("launching", report.launching),
            ("taken", report.taken),
        ):
            containers.add_metric([state], number)
        yield containers
        yield GaugeMetricFamily(
            "hitl_executor_pool_waiting", "Calls that wait for a container", value=report.waiting_callers
        )
        served = CounterMetricFamily(
            "hitl_executor_pool_served",
            "Calls by how they were served",
            labels=["start"],
        )
        served.add_metric(["warm"], report.served_warm)
        served.add_metric(["cold"], report.served_cold)
        yield served
