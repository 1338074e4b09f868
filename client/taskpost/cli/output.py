"""What goes to stdout: JSON for programs, text for people."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from taskpost.cli.times import ago, clock, long_span, seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskpost.models import Task

LONGEST_SHOWN: Final = 4000
"""A terminal shows no more characters of a result: some have millions."""

LEAST_COLUMNS: Final = 80

COLORS: Final = {"done": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "starting": "cyan"}


_UNSAFE: Final = re.compile(r"[^\n -~]+")
"""What may have to be escaped in JSON text; the newlines are those between its parts."""


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one line of JSON in the form that the service writes, with what could steer a terminal escaped."""
    text = escaped(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    click.echo(text if is_terminal() else text.encode())  # bytes: no code page can harm them


def print_body(body: bytes) -> None:
    """Print the very bytes of an outcome, but on a terminal the same JSON with what could steer it escaped."""
    click.echo(escaped(body.decode("utf-8", "backslashreplace")) if is_terminal() else body)


def is_terminal() -> bool:
    """Whether stdout is a terminal. It is None if it was closed before we began."""
    return sys.stdout is not None and sys.stdout.isatty()


def drop_output() -> None:
    """Let what is still to be written to stdout go nowhere: its reader has gone."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def columns() -> int:
    """Return how wide a table may be: as wide as the terminal, and 80 where there is none."""
    return max(shutil.get_terminal_size((LEAST_COLUMNS, 0)).columns, LEAST_COLUMNS)


def cut(text: str, width: int) -> str:
    """Return a text that is no longer than `width`; dots show that it was cut."""
    return text if len(text) <= width else text[: max(width - 2, 0)] + ".."


def print_result(value: Any, everything: str) -> None:  # noqa: ANN401 - any JSON value
    """Print a result for people; `everything` is the command that prints one too long for a terminal."""
    text = escaped(json.dumps(value, indent=2, ensure_ascii=False))
    if len(text) > LONGEST_SHOWN and is_terminal():
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


def styled(status: str, width: int = 0, more: str = "") -> str:
    """Return a state in its color, with more words after it; padded first because colors have no width."""
    text = printable(status) + printable(more)
    return click.style((cut(text, width) if width else text).ljust(width), fg=COLORS.get(status))


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
    yield "created", f"{clock(task.created_at)}{ago(task.created_at)}"
    waited = seconds_between(task.created_at, task.started_at)
    yield "started", clock(task.started_at) + ("" if waited is None else f" (waited {long_span(waited)})")
    ran = seconds_between(task.started_at, task.finished_at)
    yield "finished", clock(task.finished_at) + ("" if ran is None else f" (ran {long_span(ran)})")
    if task.result_url is not None:
        delivery = task.delivery
        yield "callback", printable(f"{delivery.status}, tries: {delivery.attempts}, to {task.result_url}")
        if delivery.last_error:
            yield "", printable(f"last error: {delivery.last_error}")
        if delivery.next_at:
            yield "", f"next try: {clock(delivery.next_at)}{ago(delivery.next_at)}"


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
