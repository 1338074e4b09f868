"""The verb completion."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Final

import click
from click.shell_completion import get_completion_class

from taskpost.cli.nearest import Choice

SHELLS: Final = ("bash", "zsh", "fish")
PROGRAM: Final = "taskpost"
VARIABLE: Final = "_TASKPOST_COMPLETE"
"""The variable by which click is asked for completions: it makes the name from the program's."""


@click.command()
@click.argument("shell", type=Choice(SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the script that completes commands in a shell.

    Commands, options, task types, states and the newest tasks complete. By default for the shell of $SHELL:

    \b
      bash:  eval "$(taskpost completion bash)"           in ~/.bashrc
      zsh:   eval "$(taskpost completion zsh)"            in ~/.zshrc
      fish:  taskpost completion fish | source            in ~/.config/fish/config.fish
    """  # noqa: D301 - click's mark for lines that are not wrapped
    name = shell or PurePath(os.environ.get("SHELL", "")).name
    kind = get_completion_class(name) if name in SHELLS else None
    if kind is None:
        raise click.UsageError(f"Name the shell: {', '.join(SHELLS)}.")
    click.echo(kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
