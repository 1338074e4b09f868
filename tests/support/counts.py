"""What an instance with nothing in it counts."""

from __future__ import annotations

from typing import Final

from api.queue.shapes import Counts

NOTHING: Final = Counts(
    tasks={},
    slots={},
    queued_bytes=0,
    body_bytes=0,
    deliveries_pending=0,
    deliveries_dead=0,
    delivery_late_seconds=0,
    tries={},
)
