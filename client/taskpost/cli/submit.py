"""The verb submit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import click

from taskpost.cli.ends import wait_and_show_end
from taskpost.cli.fields import parse_fields, parse_json
from taskpost.cli.options import json_option, seconds_option, wait_options
from taskpost.cli.output import print_json, printable, state_line
from taskpost.cli.params import TypeName
from taskpost.cli.session import with_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskpost.cli.session import Session
    from taskpost.client import Client


@click.command()
@click.argument("task_type", metavar="TYPE", type=TypeName())
@click.argument("fields", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option(
    "--input",
    "input_file",
    type=click.File("rb"),
    help="The whole input as JSON; - for stdin. Fields are laid over it.",
)
@click.option("--result-url", help="Where the result shall be POSTed. [default: no callback]")
@click.option("--priority", type=int, default=0, help="-100 to 100, higher first.", show_default=True)
@seconds_option("--timeout-seconds", "The run time allowed for one attempt. [default: the type's]")
@click.option("--idempotency-key", help="With the same key, a repeat gives the same task.")
@wait_options
@json_option
@with_session
def submit(
    session: Session,
    /,
    task_type: str,
    fields: tuple[str, ...],
    *,
    input_file: BinaryIO | None,
    wait: bool,
    wait_timeout_seconds: float | None,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - the options that go to the service as they are
) -> None:
    """Submit a task, and print its id.

    Values of KEY=VALUE are typed by the schema of TYPE (see `taskpost types TYPE`); KEY:=JSON is taken as it is.

    Example: taskpost submit fibonacci n=1000 --wait
    """
    whole = None if input_file is None else parse_json(input_file.read(), "--input")
    if fields and not (whole is None or isinstance(whole, dict)):
        raise click.UsageError("--input must be a JSON object if fields are to be laid over it.")
    with session.connect() as client:
        parsed = parse_fields(fields, lambda: _schema(client, task_type))
        task_input = {**(whole or {}), **parsed} if parsed else whole
        try:
            submitted = client.submit(task_type, task_input, **options)
        except ValueError as error:
            raise click.UsageError(f"{error}.") from error
        task = submitted.task
        if wait or wait_timeout_seconds is not None:
            wait_and_show_end(session, client, task, wait_timeout_seconds, as_json=as_json)
        elif as_json:
            print_json(task.raw)
        else:
            task_id = printable(task.task_id)
            click.echo(task_id)
            click.echo(f"{state_line(task)}. Follow it: {session.command} result {task_id} --wait", err=True)


def _schema(client: Client, task_type: str) -> Mapping[str, Any]:
    # A type that is not there has no schema: the service will name those that are.
    return next((known.input_schema for known in client.task_types() if known.name == task_type), {})
