"""The verbs for tasks that exist: get, list, result, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from taskpost.cli.ends import show_end, wait_and_show_end
from taskpost.cli.options import json_option, wait_options
from taskpost.cli.output import describe, local_time, print_json, print_rows, printable, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskpost.cli.session import Session
    from taskpost.codes import TaskStatus
    from taskpost.models import Task, TaskSummary

WIDTHS = (36, 16, 9, 7, 5, 19)


@click.command()
@click.argument("task_id")
@json_option
@click.pass_obj
def get(session: Session, task_id: str, *, as_json: bool) -> None:
    """Show a task as it is now."""
    with session.connect() as client:
        _show(client.get(task_id), as_json=as_json)


@click.command("list")
@click.option("--status", help="Only tasks in this state, such as running.")
@click.option("--type", "task_type", help="Only tasks of this type.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many. [default: all]")
@json_option
@click.pass_obj
def list_tasks(
    session: Session, status: TaskStatus | None, task_type: str | None, limit: int | None, *, as_json: bool
) -> None:
    """List tasks, newest first."""
    with session.connect() as client:
        tasks = client.list(status=status, task_type=task_type, limit=limit)
        if as_json:
            print_json([task.raw for task in tasks])
        else:
            print_rows(("TASK", "TYPE", "STATE", "PERCENT", "QUEUE", "CREATED"), map(_row, tasks), WIDTHS)


@click.command()
@click.argument("task_id")
@wait_options
@json_option
@click.pass_obj
def result(session: Session, task_id: str, *, wait: bool, wait_timeout_seconds: float | None, as_json: bool) -> None:
    """Print a task's result; its error, and exit code 1 or 4, if it failed or was cancelled."""
    with session.connect() as client:
        if wait or wait_timeout_seconds is not None:
            wait_and_show_end(session, client, client.get(task_id), wait_timeout_seconds, as_json=as_json)
        else:
            show_end(session, client.result(task_id), as_json=as_json)


@click.command()
@click.argument("task_id")
@json_option
@click.pass_obj
def cancel(session: Session, task_id: str, *, as_json: bool) -> None:
    """Cancel a task that has not ended."""
    with session.connect() as client:
        _show(client.cancel(task_id), as_json=as_json)


def _show(task: Task, *, as_json: bool) -> None:
    if as_json:
        print_json(task.raw)
        return
    for name, text in describe(task):
        click.echo(f"{name:<9} {text}")


def _row(task: TaskSummary) -> Sequence[str]:
    return (
        printable(task.task_id),
        printable(task.task_type),
        styled(task.task_status, WIDTHS[2]),
        f"{task.percent_done:.1f}".rjust(WIDTHS[3]),
        str(task.queue_position or "-").rjust(WIDTHS[4]),
        local_time(task.created_at),
    )
