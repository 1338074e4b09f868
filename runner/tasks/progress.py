"""What a task's function tells how far it is. No I/O and no thread: where a percentage goes is its sink's business."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress:
    """Call it with the percentage done: `progress(12.5)`.

    It may be called as often as is convenient, thousands of times a second too. A value above 100 counts as 100.
    NaN, and a value that is not above the last one, are passed over: a wrong estimate is no reason to fail a task.
    """

    def __init__(self, sink: Callable[[float], None]) -> None:
        """Give every rise of the percentage, within 0..100, to `sink`."""
        self._sink = sink
        self._percent = 0.0

    def __call__(self, percent: float) -> None:
        """State that `percent` of the work, 0..100, is done."""
        percent = min(percent, 100.0)
        if percent > self._percent:
            self._percent = float(percent)
            self._sink(self._percent)
