"""The command `taskpost`: finds the verb, loads it alone, and turns faults into messages and exit codes."""

from __future__ import annotations

import io
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

import click

from taskpost.cli.faults import ExitCode, Failure, failure
from taskpost.cli.session import Session
from taskpost.errors import TaskpostError

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP: Final = "taskpost.commands"
"""The entry points by which other distributions add verbs: each names a `click.Command`."""

VERBS: Final = {
    verb: EntryPoint(verb, reference, GROUP)
    for verb, reference in {
        "submit": "taskpost.cli.submit:submit",
        "get": "taskpost.cli.tasks:get",
        "list": "taskpost.cli.tasks:list_tasks",
        "result": "taskpost.cli.tasks:result",
        "cancel": "taskpost.cli.tasks:cancel",
        "deliveries": "taskpost.cli.deliveries:deliveries",
        "redeliver": "taskpost.cli.deliveries:redeliver",
        "types": "taskpost.cli.types:types",
    }.items()
}
"""Our own verbs, loaded in the same way."""


class Verbs(click.Group):
    """The verbs, ours and those of entry points; a broken one does not break the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """Return every verb that can be loaded."""
        return [*VERBS, *(verb for verb, entry_point in sorted(_added().items()) if _works(entry_point))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as click calls it
        """Load the verb asked for, and no other."""
        entry_point = VERBS.get(cmd_name) or _added().get(cmd_name)
        return None if entry_point is None else _load(entry_point)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the verb returns
        """Run the verb; an expected fault becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except TaskpostError as error:
            raise failure(error) from error
        except UnicodeEncodeError as error:
            raise click.UsageError(f"An argument is not UTF-8: {error}.") from error
        except KeyboardInterrupt:
            ctx.exit(ExitCode.INTERRUPTED)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    envvar="TASKPOST_URL",
    show_envvar=True,
    help="Where the service is, with its path prefix if it has one. [default: http://127.0.0.1:8000]",
)
@click.version_option(package_name="taskpost", prog_name="taskpost")
@click.pass_context
def taskpost(ctx: click.Context, url: str | None) -> None:
    """Submit tasks to a Taskpost service, and follow them.

    Exit codes: 0 done, 1 failed, 2 usage, 3 unreachable, 4 cancelled, 5 gave up waiting.
    """
    given = ctx.get_parameter_source("url") is click.core.ParameterSource.COMMANDLINE
    ctx.obj = Session(url, f"taskpost --url {url}" if given else "taskpost")


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a task's message holds may be beyond the code page of a Windows console.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        taskpost(prog_name="taskpost")
    except OSError as error:  # a full disk, say; of a closed pipe click takes care
        sys.stderr.write(f"Error: the output cannot be written: {error.strerror}.\n")
        sys.exit(ExitCode.FAILED)


def _added() -> Mapping[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=GROUP)}


def _load(entry_point: EntryPoint) -> click.Command:
    try:
        command = entry_point.load()
    except Exception as error:
        raise Failure(
            f"The verb {entry_point.name!r} ({entry_point.value}) cannot be loaded: {type(error).__name__}: {error}.",
            ExitCode.FAILED,
            "Is everything installed that it needs? For serve and demo: pip install 'taskpost-service[service]'.",
        ) from error
    if not isinstance(command, click.Command):
        raise Failure(f"The verb {entry_point.name!r} ({entry_point.value}) is no click command.", ExitCode.FAILED)
    return command


def _works(entry_point: EntryPoint) -> bool:
    try:
        _load(entry_point)
    except Failure:
        return False
    return True
