"""The verbs for callbacks: deliveries, redeliver."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from taskpost.cli.nearest import Choice
from taskpost.cli.options import json_option
from taskpost.cli.output import print_json, print_rows, printable, styled
from taskpost.cli.params import TaskId
from taskpost.cli.session import with_session
from taskpost.cli.times import age, ago, clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskpost.cli.session import Session
    from taskpost.client import Client
    from taskpost.codes import ListedDeliveries
    from taskpost.deliveries import DeliverySummary, DeliveryTry

TRY_WIDTHS = (25, 7, 7, 6, 0)
WIDTHS = (36, 9, 9, 5, 5, 0)


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601; without a zone it is the user's own."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        try:
            return datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError):  # the first and the last day there are, in a zone
            self.fail(f"{value!r} is not a time: write 2026-11-25, or 2026-11-25T08:00:00Z.", param, ctx)


@click.command()
@click.argument("task_id", required=False, type=TaskId())
@click.option("--status", type=Choice(["dead", "pending"]), help="Without a task: which ones. [default: dead]")
@click.option("--host", help="Without a task: only those to this host.")
@click.option("--limit", type=click.IntRange(min=1), help="Without a task: at most so many. [default: all]")
@click.option("--give-up", is_flag=True, help="Give this task's callback up: it is not sent again.")
@json_option
@with_session
def deliveries(
    session: Session,
    task_id: str | None,
    status: ListedDeliveries | None,
    host: str | None,
    limit: int | None,
    *,
    give_up: bool,
    as_json: bool,
) -> None:
    """Show the tries of a task's callback, or list callbacks.

    Without a task those are listed that were given up. ENDED is the time since the task ended.
    """
    if task_id is not None and (status or host or limit):
        raise click.UsageError("Give a task, or --status, --host and --limit.")
    if give_up and task_id is None:
        raise click.UsageError("--give-up needs the task whose callback is given up.")
    with session.connect() as client:
        if task_id is not None and give_up:
            client.give_up_delivery(task_id)
        if task_id is not None:
            _show(client, task_id, as_json=as_json)
            return
        found = client.list_deliveries(status or "dead", host=host, limit=limit)
        if as_json:
            print_json([summary.raw for summary in found])
        else:
            print_rows(("TASK", "STATE", "CALLBACK", "TRIES", "ENDED", "LAST ERROR"), map(_row, found), WIDTHS)


@click.command()
@click.argument("task_id", required=False, type=TaskId())
@click.option("--to", "result_url", help="With a task: the new URL of its callback.")
@click.option("--dead", is_flag=True, help="All callbacks that were given up, or those that the other options say.")
@click.option("--host", help="With --dead: those to this host.")
@click.option("--from", "finished_from", type=Moment(), help="With --dead: of tasks that ended then or later.")
@click.option("--before", "finished_before", type=Moment(), help="With --dead: of tasks that ended before then.")
@json_option
@with_session
def redeliver(
    session: Session,
    task_id: str | None,
    host: str | None,
    finished_from: datetime | None,
    finished_before: datetime | None,
    *,
    result_url: str | None,
    dead: bool,
    as_json: bool,
) -> None:
    """Send a task's outcome again, or all that were given up."""
    if dead == (task_id is not None) or (not dead and (host or finished_from or finished_before)):
        raise click.UsageError("Give a task, or --dead, optionally with --host, --from and --before.")
    if dead and result_url is not None:
        raise click.UsageError("--to is for one task.")
    with session.connect() as client:
        if task_id is not None:
            task = client.redeliver(task_id, result_url)
            _say(task.raw, f"callback  {task.delivery.status}", as_json=as_json)
        else:
            number = client.redeliver_dead(host=host, finished_from=finished_from, finished_before=finished_before)
            text = "1 callback is sent again" if number == 1 else f"{number} callbacks are sent again"
            _say({"redelivered": number}, text, as_json=as_json)


def _say(document: Any, text: str, *, as_json: bool) -> None:  # noqa: ANN401 - any JSON value
    if as_json:
        print_json(document)
    else:
        click.echo(printable(text))


def _show(client: Client, task_id: str, *, as_json: bool) -> None:
    found = client.deliveries(task_id)
    if as_json:
        print_json(found.raw)
        return
    print_rows(("AT", "SECONDS", "BY", "STATUS", "ERROR"), map(_try_row, found.tries), TRY_WIDTHS)
    click.echo(f"callback  {printable(found.delivery.status)}")
    if found.delivery.next_at:
        click.echo(f"next try  {clock(found.delivery.next_at)}{ago(found.delivery.next_at)}")
    if found.last_answer:
        click.echo(f"answer    {printable(found.last_answer)}")


def _try_row(made: DeliveryTry) -> Sequence[str]:
    return (
        clock(made.at),
        ("-" if made.duration_seconds is None else f"{made.duration_seconds:.3f}").rjust(TRY_WIDTHS[1]),
        printable(made.by),
        str(made.http_status or "-"),
        printable(made.error or "-"),
    )


def _row(found: DeliverySummary) -> Sequence[str]:
    return (
        printable(found.task_id),
        styled(found.task_status, WIDTHS[1]),
        printable(found.delivery.status),
        str(found.delivery.attempts).rjust(WIDTHS[3]),
        age(found.finished_at).rjust(WIDTHS[4]),
        printable(found.delivery.last_error or "-"),
    )
