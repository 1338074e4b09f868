"""The verb types."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from taskpost.cli.options import json_option
from taskpost.cli.output import columns, cut, escaped, print_json, print_rows, printable
from taskpost.cli.params import TypeName, unknown_type
from taskpost.cli.session import with_session
from taskpost.cli.types_check import WithCheck

if TYPE_CHECKING:
    from taskpost.cli.session import Session
    from taskpost.models import TaskType

WIDTHS = (16, 11, 11, 0)


@click.command(cls=WithCheck)
@click.argument("name", required=False, type=TypeName())
@json_option
@with_session
def types(session: Session, name: str | None, *, as_json: bool) -> None:
    """List the task types, or show one with its input.

    `taskpost types check FILE` checks a file of task types, see `taskpost types check --help`.
    """
    with session.connect() as client:
        offered = client.task_types()
    if name is None and as_json:
        print_json([one.raw for one in offered])
    elif name is None:
        print_rows(("TYPE", "CONCURRENCY", "MAX SECONDS", "DESCRIPTION"), map(_row, offered), WIDTHS)
    else:
        _show(session, _named(name, offered), as_json=as_json)


def _named(name: str, offered: list[TaskType]) -> TaskType:
    if wrong := unknown_type(name, (one.name for one in offered)):
        raise click.UsageError(wrong)
    return next(one for one in offered if one.name == name)


def _row(one: TaskType) -> tuple[str, ...]:
    first_line = one.description.partition("\n")[0]
    room = columns() - sum(WIDTHS) - 2 * (len(WIDTHS) - 1) - max(len(one.name) - WIDTHS[0], 0)
    cells = (printable(one.name), _limit(one.concurrency), _limit(one.max_timeout_seconds))
    return (*cells, cut(printable(first_line), room))


def _limit(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _show(session: Session, one: TaskType, *, as_json: bool) -> None:
    if as_json:
        print_json(one.raw)
        return
    click.secho(printable(one.name), bold=True)
    for line in one.description.split("\n"):
        click.echo(printable(line))
    click.echo("\nInput (JSON Schema):")
    click.echo(escaped(json.dumps(one.input_schema, indent=2)))
    click.echo(f"\nExample: {session.command} submit {printable(one.name)}{_as_arguments(one.example)}")


def _as_arguments(example: object) -> str:
    if not isinstance(example, dict):
        return ""
    return "".join(f" {shlex.quote(_as_field(key, value))}" for key, value in example.items())


def _as_field(key: str, value: object) -> str:
    key = printable(key)
    if isinstance(value, (dict, list)) or value is None or (isinstance(value, str) and not value.isprintable()):
        return f"{key}:={escaped(json.dumps(value))}"
    return f"{key}={value if isinstance(value, str) else json.dumps(value)}"
