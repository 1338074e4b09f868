"""A container type without a container: its command as a process of this machine, with the same directory beside it.

For a laptop. The process is this user's, and so no border: only a container shuts a program off from ours.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.contract import EXIT_TERMINATED, TASK_DIRECTORY, Env, ErrorCode, State, exit_message, program_environment
from runner.directory import TaskDirectory
from runner.outcome import Outcome, failed
from runner.relay import Relay
from runner.result import ResultRefused
from runner.signals import end_at_once_on_sigterm

if TYPE_CHECKING:
    from types import FrameType

    from runner.attempt import Attempt, Command
    from runner.report import Report, Started

KEPT_BYTES: Final = 2048
"""How much of the end of its output is told of a program that fails: as much as the kubelet keeps."""
READ_BYTES: Final = 64 * 1024
OUTPUT_SECONDS: Final = 1.0
"""How long the rest of its output is waited for: what it has started may hold the pipe open."""
OURS: Final = "TASKPOST_"
KILLED: Final = 128
"""By a signal: what shells and container runtimes add its number to."""
_NAMED: Final = re.compile(rf"(?<![\w./-]){TASK_DIRECTORY}(?![\w-])")


def compute(attempt: Attempt, report: Report, started: Started) -> Outcome:
    """Run the command of an attempt's task type to its end. Ends this process if it is told to end meanwhile."""
    command = attempt.command
    assert command is not None  # noqa: S101 - who calls has looked
    path = Path.cwd() / Path(TASK_DIRECTORY).name
    path.mkdir(mode=0o700)
    directory = TaskDirectory(path)
    directory.write_input(started.task_input)
    try:
        program = _Program(command, _environment(command, attempt, path), path)
    except OSError as error:
        return failed(ErrorCode.CANNOT_START, f"{command.arguments[0]!r} cannot be started: {error.strerror or error}")
    relay = Relay(directory, report)
    relay.start()
    exit_code = program.wait()
    relay.end()
    percent, words = relay.latest
    return replace(_judged(program, exit_code, directory, attempt), percent=percent, message=words)


def _judged(program: _Program, exit_code: int, directory: TaskDirectory, attempt: Attempt) -> Outcome:
    if exit_code != 0:
        return failed(ErrorCode.TASK_ERROR, exit_message(exit_code, program.output()))
    try:
        return Outcome(State.DONE, directory.read_result(attempt.result_max_bytes), None)
    except ResultRefused as refusal:
        return failed(refusal.code, str(refusal))


def _environment(command: Command, attempt: Attempt, path: Path) -> dict[str, str]:
    handed_on: dict[str, str] = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    of_task = program_environment(attempt.task_id, attempt.number, str(path))
    if Env.LOCK_FILE in os.environ:  # by which the service knows what an attempt has started
        handed_on[Env.LOCK_FILE] = os.environ[Env.LOCK_FILE]
    return {**handed_on, **command.environment, **of_task}


class _Program:
    """The process of a command. SIGTERM reaches it by itself, as one of our group: we only wait for its end then."""

    def __init__(self, command: Command, environment: dict[str, str], path: Path) -> None:
        self._terminated = False
        self._output = b""
        self._process = subprocess.Popen(  # noqa: S603 - what the operator's file of task types says
            [_NAMED.sub(str(path).replace("\\", r"\\"), argument) for argument in command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=command.directory,
            env=environment,
        )
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._reader = threading.Thread(target=self._read, name="output", daemon=True)
        self._reader.start()

    def wait(self) -> int:
        """Wait for its end; return its exit code, as a shell tells it. If we were told to end, end."""
        return_code = self._process.wait()
        end_at_once_on_sigterm()
        exit_code = KILLED - return_code if return_code < 0 else return_code
        if self._terminated or exit_code == KILLED + signal.SIGTERM:
            os._exit(EXIT_TERMINATED)
        return exit_code

    def output(self) -> str:
        """Return the end of what it has written."""
        self._reader.join(OUTPUT_SECONDS)
        return self._output.decode("utf-8", "replace")

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True

    def _read(self) -> None:
        """Read all that it writes, whether or not that can be passed on: else the program would wait for us."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        descriptor = self._process.stdout.fileno()
        while chunk := os.read(descriptor, READ_BYTES):
            self._output = (self._output + chunk)[-KEPT_BYTES:]
            with suppress(OSError, ValueError):  # the disk is full, nobody reads, it is closed
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
