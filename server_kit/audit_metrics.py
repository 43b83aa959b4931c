"""How far the second witness of an audit log lags behind, for Prometheus; nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from server_kit.audit_courier import WitnessState


class WitnessLag(Collector):
    """Reads the state whenever the metrics are read. `prefix` begins the metrics' names."""

    def __init__(self, prefix: str, state: Callable[[], WitnessState | None]) -> None:
        self._prefix = prefix
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        state = self._state()
        if state is None:
            return
        for name, meaning, value in (
            ("behind_entries", "Audit entries that the witness does not vouch for yet", state.behind),
            (
                "behind_seconds",
                "Seconds that the oldest undelivered checkpoint has waited",
                state.behind_seconds,
            ),
            ("disputed", "1 while the witness remembers another history of the log", int(state.disputed)),
        ):
            yield GaugeMetricFamily(f"{self._prefix}_audit_witness_{name}", meaning, value=value)
