"""A terminal: a shell that keeps its directory and its variables from one command to the next."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

STOP_SECONDS = 60.0


class Terminal:
    """Runs commands one after the other. What goes on when it is closed is interrupted, as by Ctrl-C."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line)
        self._lines.put("")  # the end

    def run(self, text: str, *, seconds: float) -> tuple[int, str]:
        """Run a command, or several lines; return the exit code of the last one and all that was printed."""
        mark = self._type(text)
        printed = ""
        until = time.monotonic() + seconds
        while mark not in printed:
            printed += self._line(until, text, printed)
        printed, _, status = printed.partition(mark)
        return int(status), printed

    def serve(self, text: str, begun: Callable[[str], bool], *, seconds: float) -> str:
        """Start a command that goes on; return what it has printed when that suffices for `begun`."""
        mark = self._type(text)
        printed = ""
        until = time.monotonic() + seconds
        while not begun(printed):
            printed += self._line(until, text, printed)
            assert mark not in printed, f"{text} has ended:\n{printed}"
        return printed

    def _type(self, text: str) -> str:
        assert self._shell.stdin is not None
        mark = f"== {uuid.uuid4().hex} "
        # The mark begins a line, even if what is printed before does not end with one: it is looked for anywhere.
        self._shell.stdin.write(f"{{ {text}\n}} </dev/null\nprintf '%s%s\\n' '{mark}' \"$?\"\n")
        self._shell.stdin.flush()
        return mark

    def _line(self, until: float, text: str, printed: str) -> str:
        try:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"{text} did not end, or print what it should, in time:\n{printed}") from None
        assert line, f"{text} ended the shell:\n{printed}"
        return line

    def close(self) -> None:
        """Interrupt what goes on, and end the shell."""
        assert self._shell.stdin is not None
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGINT)
        with suppress(BrokenPipeError):
            self._shell.stdin.close()
        try:
            self._shell.wait(STOP_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._shell.pid, signal.SIGKILL)
        self._reader.join(STOP_SECONDS)
        assert self._shell.stdout is not None
        self._shell.stdout.close()
