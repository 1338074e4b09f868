"""Prometheus metrics of what an instance holds. Labels are task types and states: bounded by what is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from runner.contract import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from api.queue.shapes import Counts


OUTCOMES: Final = {DeliveryStatus.PENDING: "failed"}
"""What a try is called that led to another status than its own name: it is to be made again."""


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
        stored = counts.kept_bytes + counts.undelivered_bytes
        yield _gauge("taskpost_stored_body_bytes", "Bytes that ended tasks hold, with their outcomes.", stored)
        undelivered = "Bytes of ended tasks whose callback is not delivered yet."
        yield _gauge("taskpost_undelivered_bytes", undelivered, counts.undelivered_bytes)
        dropped = "Results that were dropped because too much waited for delivery."
        yield CounterMetricFamily("taskpost_results_dropped", dropped, value=counts.results_dropped)
        yield _gauge("taskpost_log_bytes", "Bytes of what attempts have written, that are kept.", counts.log_bytes)
        yield _gauge("taskpost_idempotency_keys", "Idempotency keys that are remembered.", counts.idempotency_keys)
        yield _gauge("taskpost_deliveries_due", "Callbacks that are not delivered yet.", counts.deliveries_pending)
        yield _gauge("taskpost_deliveries_dead", "Callbacks that were given up or blocked.", counts.deliveries_dead)
        late = "Seconds that the earliest callback has been due for, and is not on its way."
        yield _gauge("taskpost_delivery_late_seconds", late, max(0.0, counts.delivery_late_seconds))
        tries = CounterMetricFamily("taskpost_delivery_tries", "Tries of callbacks, by outcome.", labels=("outcome",))
        for status, number in sorted(counts.tries.items()):
            tries.add_metric((OUTCOMES.get(status, status.value),), number)
        yield tries


def render(counts: Counts, concurrency: int) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(QueueCollector(counts, concurrency))
    return generate_latest(registry)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
