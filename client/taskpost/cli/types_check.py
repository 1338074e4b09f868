"""The command `types check`, which checks a file of task types by the rules of the service."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from typing import Any, Final

import click

from taskpost.cli.faults import ExitCode, Failure
from taskpost.cli.options import json_option
from taskpost.cli.output import print_json, printable

CHECKS: Final = "taskpost.checks"
NEEDS_SERVICE: Final = "Checking needs the service: pip install 'taskpost-service[service]'."


class WithCheck(click.Command):
    """A verb whose first word may be `check`, which begins a command of its own."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - as click has it
    ) -> click.Context:
        """Read the command line of the one or of the other."""
        words = [word for word in args if not word.startswith("-")]
        if words[:1] != ["check"]:
            return super().make_context(info_name, args, parent, **extra)
        rest = list(args)
        rest.remove("check")
        return check.make_context(f"{info_name} check", rest, parent, **extra)


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "--output",
    metavar="FILE",
    help="Write the file with all that the code of its functions says filled in, for a cluster. `-` is stdout.",
)
@json_option
def check(*, file: str, output: str | None, as_json: bool) -> None:
    """Check a file of task types: name all that is wrong in it, each with its place, or what it defines.

    The file is checked as the service does it. Modules of TASKPOST_TASK_MODULES are known to it, and functions are
    looked for in TASKPOST_TASK_PATH. For what all task pods have, and for the names of Taskpost's own Secrets, set
    TASKPOST_EXECUTOR, TASKPOST_POD_FILE and TASKPOST_RUNNER_SECRET as for the service.

    Exit code 0 if nothing is wrong, 1 if something is, 2 if the command line is.
    """
    checks = entry_points(group=CHECKS, name="types")
    if not checks:
        raise Failure(NEEDS_SERVICE, ExitCode.FAILED)
    try:
        (found,) = checks
        document = json.loads(found.load()(file, as_json=True, output=output or ""))
    except ValueError as error:
        message, *lines = str(error).split("\n")
        raise Failure(message, ExitCode.FAILED, *lines, errors=tuple({"detail": line} for line in lines)) from error
    if output == "-" and document["valid"]:
        click.echo(document["document"], nl=False)
    elif as_json:
        print_json({name: value for name, value in document.items() if name != "document"})
    else:
        _print(document)
    if not document["valid"]:
        click.get_current_context().exit(ExitCode.FAILED)


def _print(document: dict[str, Any]) -> None:
    """Print it for people: faults on stderr, what is defined on stdout."""
    if document["valid"]:
        for one in document["task_types"]:
            click.echo(f"{printable(one['name'])}: {printable(one['description']) or 'no description'}")
        return
    name = printable(document["file"])
    click.echo(f"Error: {name} cannot be used:", err=True)
    for fault in document["faults"]:
        click.echo(f"{name}: {printable(fault['place'])}: {printable(fault['message'])}", err=True)
    if document["more_faults"]:
        click.echo(f"{name}: {document['more_faults']} more", err=True)
