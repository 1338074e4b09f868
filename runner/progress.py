"""Sends how far a task is, beside the task."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

import redis

from runner.contract import EXIT_REFUSED
from runner.forks import OwnProcess
from runner.redis_errors import describe, passes
from runner.texts import bounded, say

if TYPE_CHECKING:
    from runner.report import Report

INTERVAL_SECONDS: Final = 0.3
MAX_MESSAGE_CHARACTERS: Final = 500


class ProgressThread(threading.Thread):
    """Sends the latest percent a few times a second: neither a busy function nor a Redis outage holds up the other.

    Told by Redis that the attempt is no longer the current one, it ends the process: the work is nobody's any more.
    In a child that the task forks its methods do nothing: there is no thread, and the lock may stay locked.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(name="progress", daemon=True)
        self._report = report
        self._own = OwnProcess()
        self.latest = 0.0
        self.message = ""
        self._changed = threading.Event()
        self._over = threading.Event()
        self._refusal = ""

    def set(self, percent: float) -> None:
        """Take note of a new percent; returns at once."""
        if self._own.is_current():
            self.latest = percent
            self._changed.set()

    def say(self, message: str) -> None:
        """Take note of a few words to be shown; returns at once."""
        if self._own.is_current():
            self.message = bounded(message, MAX_MESSAGE_CHARACTERS)
            self._changed.set()

    def end(self) -> None:
        """Send no more, and wait until none is on its way."""
        if not self._own.is_current():
            return
        self._over.set()
        self._changed.set()
        if self.ident is not None:  # no thread could be started
            self.join()

    def run(self) -> None:
        """Send until the end."""
        while True:
            self._changed.wait()
            self._changed.clear()
            if self._over.is_set():
                return
            self._send()
            self._over.wait(INTERVAL_SECONDS)

    def _refuse(self, fault: redis.RedisError) -> None:
        """Say once that progress cannot be sent; each change of it tries again."""
        text = describe(fault)
        if text != self._refusal:
            self._refusal = text
            say(f"progress is not sent: {text}")

    def _send(self) -> None:
        try:
            current = self._report.progress(self.latest, self.message)
        except redis.RedisError as fault:
            if self._report.renew() or passes(fault):
                self._changed.set()
            else:  # the task goes on: its end says whether that can be recorded
                self._refuse(fault)
            return
        if not current:
            say("this attempt is no longer the current one; it ends")
            os._exit(EXIT_REFUSED)
