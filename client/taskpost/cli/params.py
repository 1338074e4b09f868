"""Parameters whose values the service knows: task ids, task types, states. They complete in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast, get_args

import click

from taskpost.cli.nearest import did_you_mean
from taskpost.cli.output import printable
from taskpost.cli.session import session_of
from taskpost.codes import TaskStatus
from taskpost.errors import TaskpostError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem

    from taskpost.client import Client

STATES: Final[tuple[TaskStatus, ...]] = get_args(TaskStatus)
COMPLETION_SECONDS: Final = 1.0
"""Someone waits for the shell's next character."""
COMPLETED_TASKS: Final = 50


class _Offered(click.ParamType[str]):
    """A parameter whose values the service lists. Without an answer nothing is completed, and nothing is printed."""

    def offered(self, client: Client) -> Iterable[tuple[str, str]]:
        """Return the values, each with a short description."""
        raise NotImplementedError

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the values that begin like this."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell asks for it

        del param
        try:
            with session_of(ctx).connect(COMPLETION_SECONDS) as client:
                found = list(self.offered(client))
        except TaskpostError:
            return []
        return [
            CompletionItem(name, help=text)
            for name, text in found
            if name.startswith(incomplete) and name.isprintable() and text.isprintable()
        ]


class TaskId(_Offered):
    """The id of a task; the newest ones complete."""

    name = "task_id"

    def offered(self, client: Client) -> Iterable[tuple[str, str]]:
        """Return the newest tasks."""
        return ((task.task_id, f"{task.task_type} {task.task_status}") for task in client.list(limit=COMPLETED_TASKS))


class TypeName(_Offered):
    """The name of a task type."""

    name = "type"

    def offered(self, client: Client) -> Iterable[tuple[str, str]]:
        """Return the task types."""
        return ((one.name, one.description.partition("\n")[0]) for one in client.task_types())


class States(click.ParamType[tuple[TaskStatus, ...]]):
    """One state of a task, or several separated by commas."""

    name = "state"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click has it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[TaskStatus, ...]:
        """Read them."""
        names = value if isinstance(value, tuple) else tuple(name.strip() for name in str(value).split(","))
        for name in names:
            if name not in STATES:
                meant = did_you_mean(name, STATES)
                self.fail(f"{name!r} is not a state of a task: {', '.join(STATES)}.{meant}", param, ctx)
        return cast("tuple[TaskStatus, ...]", names)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the states, for the part after the last comma."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell asks for it

        del ctx, param
        before, comma, part = incomplete.rpartition(",")
        return [CompletionItem(before + comma + state) for state in STATES if state.startswith(part)]


def unknown_type(name: str, offered: Iterable[str]) -> str | None:
    """Return the message for a task type that is not among those `offered`; None if it is."""
    names = list(offered)
    if name in names:
        return None
    listed = ", ".join(map(printable, names)) or "none"
    return f"Task type {name!r} does not exist.{did_you_mean(name, names)} The service offers: {listed}."
