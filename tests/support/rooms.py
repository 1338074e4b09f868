"""Room for delivery attempts, as tests claim them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.queue.shapes import Pool, Room

if TYPE_CHECKING:
    from typing import Any


def room_for(number: int, **more: Any) -> Room:
    """Room for so many attempts of each kind, to whatever receivers they go."""
    plain = {
        "quick": Pool(number),
        "again": Pool(number),
        "per_receiver": number,
        "per_unknown": number,
        "per_account": number,
        "known_per_account": number,
        "unknown": number,
    }
    return Room(**plain | more)
