"""Prometheus metrics of what an instance holds. Labels are task types and states: bounded by what is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from api.queue.shapes import Counts


class QueueCollector(Collector):
    """Gives out one count of the queue."""

    def __init__(self, counts: Counts, concurrency: int) -> None:
        self._counts = counts
        self._concurrency = concurrency

    def collect(self) -> Iterator[Metric]:
        """Return a gauge for each thing counted."""
        counts = self._counts
        tasks = GaugeMetricFamily(
            "taskpost_tasks", "Tasks that are kept, by type and state.", labels=("task_type", "state")
        )
        for (task_type, state), number in sorted(counts.tasks.items()):
            tasks.add_metric((task_type, state.value), number)
        slots = GaugeMetricFamily("taskpost_slots_used", "Slots that attempts hold, by type.", labels=("task_type",))
        for task_type, number in sorted(counts.slots.items()):
            slots.add_metric((task_type,), number)
        yield tasks
        yield slots
        yield _gauge("taskpost_slots_limit", "Slots that there are over all types.", self._concurrency)
        yield _gauge("taskpost_queued_input_bytes", "Bytes of input that wait.", counts.queued_bytes)
        yield _gauge("taskpost_stored_body_bytes", "Bytes of outcomes that are kept.", counts.body_bytes)
        yield _gauge("taskpost_deliveries_due", "Callbacks that are not delivered yet.", counts.deliveries)


def render(counts: Counts, concurrency: int) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(QueueCollector(counts, concurrency))
    return generate_latest(registry)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
