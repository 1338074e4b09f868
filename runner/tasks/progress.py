"""What a task's function tells how far it is. No I/O and no thread: where what it tells goes is its sinks' business."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sized

Item = TypeVar("Item")

MAX_SAVED_BYTES: Final = 1024 * 1024


class Progress:
    """Call it with the percentage done, and a few words if there are any: `progress(12.5, "page 3 of 24")`.

    It may be called as often as is convenient, thousands of times a second too. A value above 100 counts as 100.
    NaN, and a value that is not above the last one, are passed over: a wrong estimate is no reason to fail a task.
    """

    def __init__(
        self,
        sink: Callable[[float], None],
        *,
        say: Callable[[str], None] | None = None,
        keep: Callable[[str], None] | None = None,
        saved: Any = None,  # noqa: ANN401 - any JSON value
    ) -> None:
        """Give every rise of the percentage, within 0..100, to `sink`, the words to `say`, what is saved to `keep`."""
        self._sink = sink
        self._say = say
        self._keep = keep
        self._percent = 0.0
        self.saved = saved
        """What an attempt before this one saved last, None if none did."""

    def __call__(self, percent: float, message: str | None = None) -> None:
        """State that `percent` of the work, 0..100, is done."""
        percent = min(percent, 100.0)
        if percent > self._percent:
            self._percent = float(percent)
            self._sink(self._percent)
        if message is not None and self._say is not None:
            self._say(message)

    def track(self, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
        """Iterate over things whose number is known, and state after each how many are done.

        Raises:
            TypeError: if they have no length, and `total` is not given.
        """
        sized: Any = items
        number = _length(sized) if total is None else total
        for done, item in enumerate(items, start=1):
            yield item
            self(100 * done / number if number else 100)

    def save(self, data: Any) -> None:  # noqa: ANN401 - any JSON value
        """Keep JSON data for the next attempt, should this one be lost: it finds them in `saved`.

        Raises:
            TypeError, ValueError: if they are not JSON, or longer than 1 MiB as JSON in UTF-8.
        """
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if len(text.encode()) > MAX_SAVED_BYTES:
            raise ValueError(f"what is saved has {len(text.encode())} bytes; at most {MAX_SAVED_BYTES} are kept")
        if self._keep is not None:
            self._keep(text)


def _length(items: Sized) -> int:
    try:
        return len(items)
    except TypeError:
        raise TypeError("what is tracked has no length: give its `total`") from None
