"""The verb log, and the end of a log under the error of a task that failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from taskpost.cli.options import json_option
from taskpost.cli.output import print_json, printable
from taskpost.cli.params import TaskId
from taskpost.cli.session import with_session
from taskpost.errors import TaskpostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskpost.cli.session import Session
    from taskpost.client import Client
    from taskpost.logs import AttemptLog, TaskLog

TAIL_LINES: Final = 30
TAIL_CHARACTERS: Final = 6000
SETTLE_SECONDS: Final = 5.0
"""How long to wait for the log of a task that has just ended: an attempt is settled a moment after its outcome."""
PAUSE_SECONDS: Final = 0.1


@click.command("log")
@click.argument("task_id", type=TaskId())
@json_option
@with_session
def log(session: Session, task_id: str, *, as_json: bool) -> None:
    """Print what a task has written.

    The last 64 KiB of each of its attempts are kept, with the traceback of an exception.
    """
    with session.connect() as client:
        found = client.log(task_id)
    if as_json:
        print_json(found.raw)
        return
    for attempt in found.attempts:
        if len(found.attempts) > 1:
            click.secho(f"==> attempt {attempt.attempt} <==", bold=True)
        for line in lines_of(attempt.output):
            click.echo(line)
        for remark in _remarks(attempt):
            click.echo(remark, err=True)
    if not any(attempt.output or attempt.note for attempt in found.attempts):
        state = printable(found.task_status)
        click.echo(f"The task is {state} and has written nothing.", err=True)


def print_end_of_log(session: Session, client: Client, task_id: str) -> None:
    """Print the end of a failed task's log on stderr. Without a log, from an older service say, print nothing."""
    try:
        found = _settled_log(client, task_id)
    except TaskpostError:
        return
    lines = list(lines_of(found.attempts[-1].output)) if found.attempts else []
    shown = lines[-TAIL_LINES:]
    while len(shown) > 1 and sum(map(len, shown)) > TAIL_CHARACTERS:
        del shown[0]
    if not shown:
        return
    more = "" if len(shown) == len(lines) and not found.attempts[-1].truncated else "the end of "
    click.echo(f"This is {more}what it wrote; {session.command} log {printable(task_id)} prints the log:", err=True)
    for line in shown:
        click.echo(f"  {line[-TAIL_CHARACTERS:]}".rstrip(), err=True)


def lines_of(output: str) -> Iterator[str]:
    """Yield the lines of an output with control characters as escapes; tabs stay.

    A carriage return ends a line too: what a progress bar wrote over is shown, not hidden.
    """
    text = output.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    for line in text.split("\n") if text else ():
        yield "\t".join(map(printable, line.split("\t")))


def _remarks(attempt: AttemptLog) -> Iterator[str]:
    if attempt.truncated:
        yield "(There was more before this: the end of the output is kept.)"
    if attempt.note:
        yield f"({printable(attempt.note)}.)"
    if not attempt.complete:
        yield f"(Attempt {attempt.attempt} has not ended: this is what it has written so far.)"


def _settled_log(client: Client, task_id: str) -> TaskLog:
    until = time.monotonic() + SETTLE_SECONDS
    while not (found := client.log(task_id)).complete and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
    return found
