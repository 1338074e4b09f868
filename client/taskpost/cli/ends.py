"""Waiting for a task's end, and showing it: what `submit --wait` and `result` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console

from taskpost.cli.faults import ENDS, ExitCode, Failure
from taskpost.cli.output import print_body, print_result, printable
from taskpost.cli.progress import follow
from taskpost.errors import WaitTimeout

if TYPE_CHECKING:
    from taskpost.cli.session import Session
    from taskpost.client import Client
    from taskpost.models import Result, Task


def wait_and_show_end(
    session: Session, client: Client, task: Task, timeout_seconds: float | None, *, as_json: bool
) -> None:
    """Follow a task on stderr until it ends, then print its result on stdout."""
    goes_on = (
        f"The task goes on. Follow it: {session.command} result {printable(task.task_id)} --wait\n"
        f"Cancel it: {session.command} cancel {printable(task.task_id)}"
    )
    try:
        follow(client, [task], Console(stderr=True), timeout_seconds=timeout_seconds)
    except WaitTimeout as error:
        raise Failure(str(error), ExitCode.GAVE_UP_WAITING, *goes_on.splitlines()) from error
    except KeyboardInterrupt:
        click.echo(goes_on, err=True)
        raise
    show_end(session, client.result(task.task_id), as_json=as_json)


def show_end(session: Session, result: Result, *, as_json: bool) -> None:
    """Print how a task ended, and exit with the code that says the same."""
    if as_json:
        print_body(result.body)
    elif result.status == "done":
        print_result(result.result, f"{session.command} result {printable(result.task_id)} --json")
    else:
        click.echo(printable(f"Task {result.task_id}: {result.status}: {result.error or 'no reason given'}"), err=True)
    click.get_current_context().exit(ENDS.get(result.status, ExitCode.FAILED))
