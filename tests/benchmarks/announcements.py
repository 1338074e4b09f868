"""When Redis announced what: the moment of a change itself, seen by nobody's log."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from runner.connect import connect
from runner.contract import DEFAULT_INSTANCE, changes_channel

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

LISTEN_SECONDS = 0.1


class Announcements(threading.Thread):
    """Notes the time of every change of the service's tasks while it is entered."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(daemon=True)
        self._client = connect(redis_url)
        self._subscription = self._client.pubsub(ignore_subscribe_messages=True)
        self._over = threading.Event()
        self.times: dict[tuple[str, str], float] = {}
        """Unix time by task id and what happened."""

    def __enter__(self) -> Self:
        self._subscription.subscribe(changes_channel(DEFAULT_INSTANCE))
        self._subscription.get_message(timeout=1.0)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()
        self._subscription.close()
        self._client.close()

    def run(self) -> None:
        while not self._over.is_set():
            message = self._subscription.get_message(timeout=LISTEN_SECONDS)
            if message is not None:
                task_id, _, what = message["data"].decode().partition(" ")
                self.times.setdefault((task_id, what), time.time())
