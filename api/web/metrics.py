"""Prometheus metrics of an instance. Labels are states, results and task types, and the types are bounded in number."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from runner.contract import ENDS, DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from prometheus_client import Metric

    from api.queue.counters import Counters
    from api.queue.shapes import Counts


OUTCOMES: Final = {DeliveryStatus.PENDING: "failed"}
"""What a try is called that led to another status than its own name: it is to be made again."""
OTHER_TYPES: Final = "_other"
"""The label of all types that have none of their own. No type can have this name."""
REQUEUED: Final = {"loss": "lost", "unbegun": "not_begun", "unstarted": "not_started"}
"""What the reasons of `requeue.lua` are called, if not the same."""
HISTOGRAMS: Final = {
    "wait": "Seconds that tasks waited for a slot, each time; pauses before retries do not count.",
    "start": "Seconds from getting a slot until the program ran, for each attempt.",
    "run": "Seconds that the last attempts of ended tasks ran.",
}


class QueueCollector(Collector):
    """Gives out one count of the queue.

    `configured` are the types that the service has: they have counters, at 0, before their first task.
    """

    def __init__(self, counts: Counts, counters: Counters, concurrency: int, configured: Iterable[str] = ()) -> None:
        self._counts = counts
        self._counters = counters
        self._concurrency = concurrency
        names = {*configured, *counts.slots, *(name for name, _ in counts.tasks)}
        self._named = _with_labels(counters, names)

    def collect(self) -> Iterator[Metric]:
        """Return all metrics."""
        counts = self._counts
        yield from self._types()
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
        yield from self._deliveries()
        yield from self._ends()
        yield from self._histograms()

    def _label(self, task_type: str) -> str:
        return task_type if task_type in self._named else OTHER_TYPES

    def _types(self) -> Iterator[Metric]:
        tasks: dict[tuple[str, ...], int] = defaultdict(int)
        for (task_type, state), number in self._counts.tasks.items():
            tasks[self._label(task_type), state.value] += number
        yield _gauges("taskpost_tasks", "Tasks that are kept, by type and state.", ("task_type", "state"), tasks)
        slots: dict[tuple[str, ...], int] = defaultdict(int)
        for task_type, number in self._counts.slots.items():
            slots[(self._label(task_type),)] += number
        yield _gauges("taskpost_slots_used", "Slots that attempts hold, by type.", ("task_type",), slots)

    def _deliveries(self) -> Iterator[Metric]:
        counts = self._counts
        yield _gauge("taskpost_deliveries_due", "Callbacks that are not delivered yet.", counts.deliveries_pending)
        yield _gauge("taskpost_deliveries_dead", "Callbacks that were given up or blocked.", counts.deliveries_dead)
        late = "Seconds that the earliest callback has been due for, and is not on its way."
        yield _gauge("taskpost_delivery_late_seconds", late, max(0.0, counts.delivery_late_seconds))
        tries: dict[tuple[str, ...], int] = {
            (OUTCOMES.get(status, status.value),): number for status, number in counts.tries.items()
        }
        yield _counters("taskpost_delivery_tries", "Tries of callbacks, by outcome.", ("outcome",), tries)
        results: dict[tuple[str, ...], int] = {
            (result,): number for result, number in self._counters.deliveries.items()
        }
        yield _counters("taskpost_deliveries", "Callbacks that ended, by result.", ("result",), results)

    def _ends(self) -> Iterator[Metric]:
        ended: dict[tuple[str, ...], int] = {(name, state.value): 0 for name in self._named for state in ENDS}
        ended |= self._by_label("ended")
        yield _counters("taskpost_tasks_ended", "Tasks that ended, by outcome.", ("task_type", "outcome"), ended)
        failed = self._by_label("failed")
        yield _counters("taskpost_tasks_failed", "Tasks that failed, by code.", ("task_type", "code"), failed)
        requeued: dict[tuple[str, ...], int] = {
            (name, REQUEUED.get(kind, kind)): number for (name, kind), number in self._by_label("requeued").items()
        }
        text = "Attempts whose tasks went back to the queue, by reason."
        yield _counters("taskpost_attempts_requeued", text, ("task_type", "reason"), requeued)

    def _by_label(self, name: str) -> dict[tuple[str, ...], int]:
        return {
            (task_type, label): number
            for task_type, counters in self._counters.types.items()
            for label, number in counters.labelled.get(name, {}).items()
        }

    def _histograms(self) -> Iterator[Metric]:
        for name, text in HISTOGRAMS.items():
            family = HistogramMetricFamily(f"taskpost_task_{name}_seconds", text, labels=("task_type",))
            for task_type, counters in sorted(self._counters.types.items()):
                observed = counters.observed.get(name)
                if observed:
                    buckets = _cumulated(self._counters.bounds_ms, observed)
                    family.add_metric((task_type,), buckets, counters.sums_ms.get(name, 0) / 1000)
            yield family


def render(counts: Counts, counters: Counters, concurrency: int, configured: Iterable[str]) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(QueueCollector(counts, counters, concurrency, configured))
    return generate_latest(registry)


def _with_labels(counters: Counters, names: AbstractSet[str]) -> AbstractSet[str]:
    """Return the types that have a label of their own: those counted apart, and as many others as there is room for."""
    apart = counters.types.keys() - {OTHER_TYPES}
    return apart | set(sorted(names - apart)[: max(0, counters.max_types - len(apart))])


def _cumulated(bounds_ms: tuple[int, ...], observed: Mapping[int | None, int]) -> list[tuple[str, int]]:
    """Return the buckets as Prometheus has them: in seconds, each with all that are in those below it."""
    buckets, number = [], 0
    for bound in bounds_ms:
        number += observed.get(bound, 0)
        buckets.append((str(bound / 1000), number))
    return [*buckets, ("+Inf", number + observed.get(None, 0))]


def _gauges(name: str, text: str, labels: tuple[str, ...], numbers: Mapping[tuple[str, ...], int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in sorted(numbers.items()):
        family.add_metric(values, number)
    return family


def _counters(name: str, text: str, labels: tuple[str, ...], numbers: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in sorted(numbers.items()):
        family.add_metric(values, number)
    return family


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
