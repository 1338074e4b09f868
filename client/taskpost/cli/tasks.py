"""The verbs for tasks that exist: get, list, result, cancel."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import click

from taskpost.cli.ends import show_end, wait_and_show_end
from taskpost.cli.options import json_option, wait_options
from taskpost.cli.output import columns, cut, describe, print_json, print_rows, printable, styled
from taskpost.cli.params import States, TaskId, TypeName, unknown_type
from taskpost.cli.session import with_session
from taskpost.cli.times import age, seconds_between, span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from taskpost.cli.session import Session
    from taskpost.codes import TaskStatus
    from taskpost.models import Task, TaskSummary

HEADINGS = ("TASK", "TYPE", "STATE", "  AGE", " TOOK")
WIDTHS = (36, 13, 13, 5, 5)
"""With the two spaces between them they fill 80 columns; a wider terminal gives more to the type."""
LONGEST_TYPE = 40
WHOLE = 100


@click.command()
@click.argument("task_id", type=TaskId())
@json_option
@with_session
def get(session: Session, task_id: str, *, as_json: bool) -> None:
    """Show a task as it is now."""
    with session.connect() as client:
        show(client.get(task_id), as_json=as_json)


@click.command("list")
@click.option("--status", type=States(), help="Only tasks in this state, or in these: queued,running.")
@click.option("--type", "task_type", type=TypeName(), help="Only tasks of this type.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many. [default: all]")
@json_option
@with_session
def list_tasks(
    session: Session, status: tuple[TaskStatus, ...] | None, task_type: str | None, limit: int | None, *, as_json: bool
) -> None:
    """List tasks, newest first.

    AGE is the time since a task was submitted, TOOK the time from then to its end.
    """
    with session.connect() as client:
        found = client.list(status=status, task_type=task_type, limit=limit)
        first = next(found, None)
        if first is None and task_type is not None:
            names = (one.name for one in client.task_types())
            if wrong := unknown_type(task_type, names):
                raise click.UsageError(wrong)
        tasks = found if first is None else chain([first], found)
        if as_json:
            print_json([task.raw for task in tasks])
        else:
            widths = _widths()
            print_rows(HEADINGS, (_row(task, widths) for task in tasks), widths)


@click.command()
@click.argument("task_id", type=TaskId())
@wait_options
@json_option
@with_session
def result(session: Session, task_id: str, *, wait: bool, wait_timeout_seconds: float | None, as_json: bool) -> None:
    """Print a task's result.

    If it failed or was cancelled its error, with exit code 1 or 4.
    """
    with session.connect() as client:
        if wait or wait_timeout_seconds is not None:
            wait_and_show_end(session, client, client.get(task_id), wait_timeout_seconds, as_json=as_json)
        else:
            show_end(session, client.result(task_id), as_json=as_json)


@click.command()
@click.argument("task_id", type=TaskId())
@json_option
@with_session
def cancel(session: Session, task_id: str, *, as_json: bool) -> None:
    """Cancel a task that has not ended."""
    with session.connect() as client:
        show(client.cancel(task_id), as_json=as_json)


def show(task: Task, *, as_json: bool) -> None:
    """Print a task."""
    if as_json:
        print_json(task.raw)
        return
    for name, text in describe(task):
        click.echo(f"{name:<9} {text}")


def _widths() -> tuple[int, ...]:
    spare = columns() - sum(WIDTHS) - 2 * (len(WIDTHS) - 1)
    return (WIDTHS[0], min(WIDTHS[1] + spare, LONGEST_TYPE), *WIDTHS[2:])


def _row(task: TaskSummary, widths: Sequence[int], now: datetime | None = None) -> Sequence[str]:
    took = seconds_between(task.created_at, task.finished_at)
    return (
        cut(printable(task.task_id), widths[0]),
        cut(printable(task.task_type), widths[1]),
        styled(task.task_status, widths[2], _place(task)),
        age(task.created_at, now).rjust(widths[3]),
        ("-" if took is None else span(took)).rjust(widths[4]),
    )


def _place(task: TaskSummary) -> str:
    """Return how far a task is that has not ended: its place in the queue, or its percent."""
    if task.queue_position is not None:
        return f" #{task.queue_position}"
    if task.task_status != "running":
        return ""
    return f" {task.percent_done:.1f}%" if task.percent_done < WHOLE else " 100%"
