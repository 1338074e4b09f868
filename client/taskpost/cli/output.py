"""What goes to stdout: JSON for programs, text for people."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from taskpost.models import Task

LONGEST_SHOWN: Final = 4000
"""A terminal shows no more characters of a result: some have millions."""

COLORS: Final = {"done": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "starting": "cyan"}


_UNSAFE: Final = re.compile(r"[^\n -~]+")
"""What may have to be escaped in JSON text; the newlines are those between its parts."""


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one line of JSON, in ASCII, so that no code page can harm it."""
    click.echo(escaped(json.dumps(document)))


def print_body(body: bytes) -> None:
    """Print the very bytes of an outcome, but on a terminal the same JSON with what could steer it escaped."""
    click.echo(escaped(body.decode("utf-8", "backslashreplace")) if sys.stdout.isatty() else body)


def print_result(value: Any, everything: str) -> None:  # noqa: ANN401 - any JSON value
    """Print a result for people; `everything` is the command that prints one too long for a terminal."""
    text = escaped(json.dumps(value, indent=2, ensure_ascii=False))
    if len(text) > LONGEST_SHOWN and sys.stdout.isatty():
        click.echo(text[:LONGEST_SHOWN] + " ...")
        click.echo(f"({len(text):,} characters in all: {everything})", err=True)
    else:
        click.echo(text)


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]) -> None:
    """Print a table row by row, as the rows come; nothing but a note on stderr if none comes."""
    empty = True
    for row in rows:
        if empty:
            click.secho(_aligned(headings, widths), bold=True)
            empty = False
        click.echo(_aligned(row, widths))
    if empty:
        click.echo("There is nothing to list.", err=True)


def styled(status: str, width: int = 0) -> str:
    """Return a state in its color, padded first because colors have no width."""
    return click.style(printable(status).ljust(width), fg=COLORS.get(status))


def local_time(moment: datetime | None) -> str:
    """Return a time as the user's clock shows it."""
    return "-" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def state_line(task: Task) -> str:
    """Return a task's state in a few words."""
    words: list[str] = [task.task_status]
    if task.queue_position is not None:
        words.append(f"position {task.queue_position}")
    if task.task_status == "running":
        words.append(f"{task.task_percent_done:.1f} %")
    if task.waiting_reason:
        words.append(str(task.waiting_reason))
    return printable(", ".join(words))


def describe(task: Task) -> Iterator[tuple[str, str]]:
    """Yield what is to be said about a task, name by name."""
    yield "task", printable(task.task_id)
    yield "type", printable(task.task_type)
    yield "state", styled(task.task_status) + state_line(task).removeprefix(printable(task.task_status))
    if task.error:
        yield "error", printable(str(task.error))
    if task.progress_message:
        yield "progress", printable(task.progress_message)
    yield "attempt", f"{task.attempt}, priority {task.priority}"
    for past in task.attempts:
        yield "", printable(f"attempt {past.attempt}: {past.reason}")
    yield "created", local_time(task.created_at)
    yield "started", local_time(task.started_at)
    yield "finished", local_time(task.finished_at)
    if task.result_url is not None:
        delivery = task.delivery
        yield "callback", printable(f"{delivery.status}, tries: {delivery.attempts}, to {task.result_url}")
        if delivery.last_error:
            yield "", printable(f"last error: {delivery.last_error}")
        if delivery.next_at:
            yield "", f"next try: {local_time(delivery.next_at)}"


def printable(text: str) -> str:
    """Return text from elsewhere with what could steer a terminal, or begin a line, made visible."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def escaped(text: str) -> str:
    """Return JSON text with what could steer a terminal as escapes of JSON: its value is the same."""
    return _UNSAFE.sub(lambda found: "".join(map(_escape, found[0])), text)


def _escape(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1].replace("\x7f", "\\u007f")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
