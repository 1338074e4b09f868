"""The command `taskpost`: finds the verb, loads it alone, and turns faults into messages and exit codes."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from taskpost.cli import verbs
from taskpost.cli.faults import ExitCode, error_document, failure
from taskpost.cli.nearest import did_you_mean
from taskpost.cli.options import wants_json
from taskpost.cli.output import drop_output, print_json
from taskpost.cli.session import URL_HELP, Session
from taskpost.errors import TaskpostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.shell_completion import CompletionItem


class Verbs(click.Group):
    """The verbs, ours and those of entry points; a broken one does not break the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """Return every verb that can be loaded."""
        return [name for name, verb in verbs.all_verbs().items() if verbs.summary_of(verb) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as click calls it
        """Load the verb asked for, and no other."""
        verb = verbs.find(cmd_name)
        return None if verb is None else verbs.load(verb)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; if it does not exist, name the nearest."""
        name = args[0]
        if verbs.find(name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}.{did_you_mean(name, verbs.all_verbs())}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the verbs without importing them."""
        rows = [(name, verbs.summary_of(verb)) for name, verb in verbs.all_verbs().items()]
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, summary in rows if summary is not None])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete a verb or an option, without importing verbs."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell asks for it

        found = [
            CompletionItem(name, help=verbs.summary_of(verb))
            for name, verb in verbs.all_verbs().items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - as click has it
    ) -> click.Context:
        """Read the command line; `--help` and `--version` end here."""
        with _until_nobody_reads():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the verb returns
        """Run the verb; an expected fault becomes a message and an exit code."""
        with _until_nobody_reads():
            try:
                return self._run(ctx)
            except click.ClickException as fault:
                if wants_json(ctx):
                    _print_unless_gone(error_document(fault))
                raise

    def _run(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as above
        try:
            return super().invoke(ctx)
        except TaskpostError as error:
            raise failure(error) from error
        except UnicodeEncodeError as error:
            raise click.UsageError(f"An argument is not UTF-8: {error}.") from error
        except KeyboardInterrupt:
            ctx.exit(ExitCode.INTERRUPTED)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="URL", envvar="TASKPOST_URL", show_envvar=True, help=URL_HELP)
@click.version_option(None, "-V", "--version", package_name="taskpost", prog_name="taskpost")
@click.pass_context
def taskpost(ctx: click.Context, url: str | None) -> None:
    """Submit tasks to a Taskpost service, and follow them.

    Exit codes: 0 done, 1 failed, 2 usage, 3 unreachable, 4 cancelled, 5 gave up waiting.
    """
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        ctx.color = False
    given = ctx.get_parameter_source("url") is click.core.ParameterSource.COMMANDLINE
    ctx.obj = Session.named(url) if given and url else Session(url)


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a task's message holds may be beyond the code page of a Windows console.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        taskpost(prog_name="taskpost")
    except OSError as error:  # a full disk, say
        with suppress(OSError):
            sys.stderr.write(f"Error: the output cannot be written: {error.strerror or error}.\n")
        sys.exit(ExitCode.FAILED)


def _print_unless_gone(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print what went wrong; a failure remains one when nobody reads that."""
    try:
        print_json(document)
    except BrokenPipeError:
        drop_output()


@contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """End without a fault when the reader of the output has gone, as in `taskpost list | head -1`."""
    try:
        yield
    except BrokenPipeError:
        drop_output()
        raise click.exceptions.Exit(ExitCode.OK) from None
