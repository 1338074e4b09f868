"""The service as a process of its own, to be stopped, killed, paused and started again."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
from taskpost import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

START_SECONDS = 30.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02


class ServiceProcess:
    """`python -m api` on a free port and a data directory, with settings of its own.

    `descriptors` are the soft and the hard limit of its descriptors, `options` what follows `serve` on a command line.
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        descriptors: tuple[int, int] | None = None,
        options: Sequence[str] = (),
        **settings: object,
    ) -> None:
        self._data_directory = data_directory
        self._options = options
        self._limited: list[str] = []
        if descriptors is not None:
            limits = "ulimit -S -n {} && ulimit -H -n {}".format(*descriptors)
            self._limited = ["sh", "-c", f'{limits} && exec "$@"', "sh"]
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.log_path = data_directory.parent / f"{data_directory.name}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> None:
        """Return when it listens."""
        settings = {"bind": "127.0.0.1:0", "data_dir": self._data_directory, "task_modules": "tests.support.task_types"}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}
        environment |= {f"TASKPOST_{name.upper()}": str(value) for name, value in (settings | self._settings).items()}
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                [*self._limited, sys.executable, "-P", "-m", "api", *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(
            target=lambda out: lines.put(out.readline()), args=(self._process.stdout,), daemon=True
        ).start()
        line = lines.get(timeout=START_SECONDS)
        assert line.startswith("Taskpost listens on "), self.log()
        self.url = line.split()[3].rstrip(",")

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the service is not running"
        return self._process

    def stop(self) -> int:
        """End it in good order; return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it at once, as a crash would."""
        return self._end(signal.SIGKILL)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> int:
        process = self.process
        process.send_signal(how)
        exit_code = process.wait(STOP_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
        self._process = None
        return exit_code

    def client(self) -> Client:
        """A client of it as it runs now; the address is another after each start."""
        return Client(self.url)

    def log(self) -> str:
        return self.log_path.read_text()


def eventually(condition: Callable[[], Any], *, seconds: float = 30.0, of: str = "") -> Any:
    """Return the first true value of a condition of the outside world, which tells nobody when it changes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not so within {seconds:g} seconds: {of or condition}")


def runners_of(data_directory: Path) -> list[psutil.Process]:
    """Every living process that was started in a data directory, save the service itself: Valkey and runners."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments, environment = " ".join(process.cmdline()), process.environ()
        except psutil.Error:
            continue
        is_runner = "TASKPOST_TOKEN" in environment and str(data_directory) in json.dumps(environment)
        if is_runner or ("valkey" in arguments and str(data_directory) in arguments):
            found.append(process)
    return found
