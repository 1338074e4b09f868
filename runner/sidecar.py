"""The runner beside a task's program, in a container of its own: gives it input, relays progress, stages the result.

It is a native sidecar: the kubelet starts the program once something listens on `SIDECAR_PORT`, restarts this when it
fails, and ends it by SIGTERM when the program has ended. How that ended, this cannot see: the service does.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.attempt import EnvironmentInvalid
from runner.contract import SIDECAR_PORT, TASK_DIRECTORY, Env
from runner.directory import TaskDirectory
from runner.exits import exit_code_of
from runner.relay import Relay
from runner.report import Staged
from runner.result import ResultRefused
from runner.texts import say

if TYPE_CHECKING:
    from runner.attempt import Attempt
    from runner.report import Report

MOST_OF_IT: Final = 0.95
"""Of its grace: then it gives up, and has time to say so."""


def main() -> int:
    """Be the runner beside the program of the attempt that the environment names; return the exit code."""
    return exit_code_of(_accompany)


def _accompany(attempt: Attempt, report: Report) -> None:
    try:
        directory = TaskDirectory(Path(os.environ.get(Env.DIRECTORY, TASK_DIRECTORY)))
        directory.write_input(report.prepare())
    except OSError as error:
        raise EnvironmentInvalid(f"the directory of the task cannot be used: {error}") from None
    # Before there are threads, so that none of them takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    gate = _open_gate()
    relay = Relay(directory, report)
    relay.start()
    signal.sigwait({signal.SIGTERM})
    until = time.monotonic() + MOST_OF_IT * attempt.result_grace_seconds
    relay.end()
    percent, words = relay.latest
    staged = replace(_staged(directory, attempt.result_max_bytes), percent=percent, words=words)
    report.stage(staged, until=until)
    if gate is not None:
        gate.close()


def _open_gate() -> socket.socket | None:
    """Listen, so that the program is started. After a restart of ours it runs already, and may have taken the port."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", SIDECAR_PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", SIDECAR_PORT))
    except OSError as error:
        say(f"port {SIDECAR_PORT} cannot be had: {error}")
        return None


def _staged(directory: TaskDirectory, max_bytes: int) -> Staged:
    try:
        return Staged(directory.read_result(max_bytes))
    except ResultRefused as refusal:
        return Staged("", refusal.code, str(refusal))
