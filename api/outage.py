"""An outage of Redis in the log: a line at once, then at growing pauses, and one when Redis answers again.

All loops of the service share one `Outage`, since all of them fail together. Redis is asked as often as before.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 300.0
CALM_SECONDS: Final = 10.0
"""How long no call may have failed before an outage is over: some calls succeed while Redis has no memory left."""
FORGET_SECONDS: Final = 60.0
"""How long after an outage the pauses go on growing: a Redis that comes and goes must not fill the log."""


class Outage:
    """Says which failures are logged, and logs the end of an outage."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: float | None = None
        self._is_told = False
        self._failed = -FORGET_SECONDS
        self._pause = FIRST_PAUSE_SECONDS
        self._due = 0.0
        self._more = 0

    def failed(self) -> dict[str, object] | None:
        """Take note of a call that failed. Returns the facts for a line in the log, or None if none is due."""
        now = self._now()
        if self._began is None:
            if now - self._failed > FORGET_SECONDS:
                self._pause, self._due, self._more = FIRST_PAUSE_SECONDS, now, 0
            self._began, self._is_told = now, False
        self._failed = now
        if now < self._due:
            self._more += 1
            return None
        facts: dict[str, object] = {"for_seconds": round(now - self._began), "more": self._more}
        self._is_told = True
        self._due, self._more = now + self._pause, 0
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return facts

    def answered(self) -> None:
        """Take note of a call that succeeded. The outage is over when no other has failed for a while."""
        if self._began is not None and self._now() - self._failed > CALM_SECONDS:
            self.end()

    def end(self) -> None:
        """End the outage, if there is one."""
        if self._began is not None and self._is_told:
            logger.info("redis_answers_again", extra={"after_seconds": round(self._failed - self._began)})
        self._began = None
