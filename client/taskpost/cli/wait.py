"""The verb wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from taskpost.cli.ends import follow_to_end
from taskpost.cli.faults import ENDS, ExitCode
from taskpost.cli.options import Span, json_option
from taskpost.cli.output import print_json, printable, styled
from taskpost.cli.params import TaskId
from taskpost.cli.session import with_session
from taskpost.cli.times import long_span, seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskpost.cli.session import Session
    from taskpost.models import Task


@click.command()
@click.argument("task_ids", nargs=-1, required=True, metavar="TASK_ID...", type=TaskId())
@click.option("--timeout", type=Span(), help="Wait no longer than this (90s, 2m): then exit code 5.")
@json_option
@with_session
def wait(session: Session, task_ids: tuple[str, ...], timeout: float | None, *, as_json: bool) -> None:
    """Wait until tasks have ended.

    Exit code 0 if all are done, 1 if one failed, 4 if one was cancelled and none failed. With --json the tasks are
    printed as an array.
    """
    with session.connect() as client:
        tasks = [client.get(task_id) for task_id in dict.fromkeys(task_ids)]
        ended = follow_to_end(session, client, tasks, timeout)
    if as_json:
        print_json([task.raw for task in ended])
    else:
        for task in ended:
            click.echo(f"{printable(task.task_id)}  {_end(task)}")
    click.get_current_context().exit(exit_code(task.task_status for task in ended))


def exit_code(states: Iterable[str]) -> ExitCode:
    """Return the exit code of tasks that have ended: a failure first, then a cancellation."""
    codes = {ENDS.get(state, ExitCode.FAILED) for state in states}
    return next((code for code in (ExitCode.FAILED, ExitCode.CANCELLED) if code in codes), ExitCode.OK)


def _end(task: Task) -> str:
    ran = seconds_between(task.started_at, task.finished_at)
    words = [styled(task.task_status)]
    if ran is not None:
        words.append(f"ran {long_span(ran)}")
    if task.error:
        words.append(printable(str(task.error)))
    return ", ".join(words)
