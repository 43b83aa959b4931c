"""The sizes of a warm pool and of a burst tier for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from executor_mcp.sandbox_reports import ReportsBurst, ReportsPool


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


class BurstSizes(Collector):
    """Outer containers, the programs in them now, and how many there have been of each."""

    def __init__(self, sandbox: ReportsBurst) -> None:
        self._sandbox = sandbox

    def collect(self) -> Iterator[Metric]:
        report = self._sandbox.report()
        containers, live = (0, 0) if report is None else (report.containers, report.live)
        launched, executions = (0, 0) if report is None else (report.launched, report.executions)
        condemned = 0 if report is None else report.condemned
        yield GaugeMetricFamily("hitl_executor_burst_containers", "Outer containers now", value=containers)
        yield GaugeMetricFamily("hitl_executor_burst_running", "Programs in them now", value=live)
        for name, text, number in (
            ("launched", "Outer containers made", launched),
            ("executions", "Programs that ran in one", executions),
            ("condemned", "Outer containers given up because something went wrong in them", condemned),
        ):
            yield CounterMetricFamily(f"hitl_executor_burst_{name}", text, value=number)
