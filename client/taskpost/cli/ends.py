"""Waiting for a task's end, and showing it: what `submit --wait`, `result` and `wait` share."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from taskpost.cli.faults import ENDS, ExitCode, Failure
from taskpost.cli.logs import print_end_of_log
from taskpost.cli.output import print_body, print_result, printable
from taskpost.errors import WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskpost.cli.session import Session
    from taskpost.client import Client
    from taskpost.models import Result, Task


def wait_and_show_end(
    session: Session, client: Client, task: Task, timeout_seconds: float | None, *, as_json: bool
) -> None:
    """Follow a task on stderr until it ends, then print its result on stdout, or why it failed on stderr."""
    follow_to_end(session, client, [task], timeout_seconds)
    result = client.result(task.task_id)
    _print_end(session, result, as_json=as_json)
    if result.status == "failed" and not as_json:
        print_end_of_log(session, client, task.task_id)
    _exit(result)


def follow_to_end(
    session: Session, client: Client, tasks: Sequence[Task], timeout_seconds: float | None
) -> Sequence[Task]:
    """Follow tasks on stderr until all have ended, and return them as they then are.

    Raises:
        Failure: if the time is over; it says how to go on.
    """
    from taskpost.cli.progress import Terminal, follow  # noqa: PLC0415 - rich takes a fifth of a second to import

    goes_on = _goes_on(session, [printable(task.task_id) for task in tasks])
    try:
        with exit_on_sigterm():
            ended = follow(client, tasks, Terminal(stderr=True), timeout_seconds=timeout_seconds)
    except WaitTimeout as error:
        raise Failure(str(error), ExitCode.GAVE_UP_WAITING, *goes_on) from error
    except (KeyboardInterrupt, SystemExit):
        for line in goes_on:
            click.echo(line, err=True)
        raise
    return list(ended.values())


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, which `timeout 60 taskpost ...` sends, end the command in good order, with exit code 143."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _goes_on(session: Session, task_ids: Sequence[str]) -> Sequence[str]:
    if len(task_ids) > 1:
        return [f"The tasks go on. Follow them: {session.command} wait {' '.join(task_ids)}"]
    (task_id,) = task_ids
    return [
        f"The task goes on. Follow it: {session.command} result {task_id} --wait",
        f"Cancel it: {session.command} cancel {task_id}",
    ]


def show_end(session: Session, result: Result, *, as_json: bool) -> None:
    """Print how a task ended, and exit with the code that says the same."""
    _print_end(session, result, as_json=as_json)
    _exit(result)


def _print_end(session: Session, result: Result, *, as_json: bool) -> None:
    if as_json:
        print_body(result.body)
    elif result.status == "done":
        print_result(result.result, f"{session.command} result {printable(result.task_id)} --json")
    else:
        click.echo(printable(f"Task {result.task_id}: {result.status}: {result.error or 'no reason given'}"), err=True)


def _exit(result: Result) -> NoReturn:
    click.get_current_context().exit(ENDS.get(result.status, ExitCode.FAILED))
