"""What an instance with nothing in it counts, and has counted."""

from __future__ import annotations

from typing import Final

from api.queue.counters import Counters
from api.queue.shapes import Counts

NOTHING: Final = Counts(
    tasks={},
    slots={},
    queued_bytes=0,
    kept_bytes=0,
    undelivered_bytes=0,
    results_dropped=0,
    log_bytes=0,
    idempotency_keys=0,
    deliveries_pending=0,
    deliveries_dead=0,
    delivery_late_seconds=0,
    tries={},
)

NOTHING_COUNTED: Final = Counters(bounds_ms=(100, 1000), max_types=2, types={}, deliveries={})
