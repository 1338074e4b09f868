"""Tells of the progress that a task's program writes to its directory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runner.progress import INTERVAL_SECONDS, ProgressThread

if TYPE_CHECKING:
    from runner.directory import TaskDirectory
    from runner.report import Report


class Relay(threading.Thread):
    """Looks a few times a second: file systems that tell of changes do not do so in every container."""

    def __init__(self, directory: TaskDirectory, report: Report) -> None:
        super().__init__(name="relay", daemon=True)
        self._directory = directory
        self._sender = ProgressThread(report)
        self._over = threading.Event()
        self._last: tuple[float, str] | None = None

    @property
    def latest(self) -> tuple[float, str]:
        """What has been told last: percent and words."""
        return self._sender.latest, self._sender.message

    def run(self) -> None:
        """Look and tell until the end."""
        self._sender.start()
        while not self._over.wait(INTERVAL_SECONDS):
            self._look()
        self._look()
        self._sender.end()

    def end(self) -> None:
        """Look once more, then tell no more."""
        self._over.set()
        self.join()

    def _look(self) -> None:
        read = self._directory.read_progress()
        if read is None or read == self._last:
            return
        self._last = read
        percent, words = read
        self._sender.set(percent)
        if words:
            self._sender.say(words)
