"""The verbs of the command line: where each is, and its one-line summary, without importing it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import click

from taskpost.cli.faults import ExitCode, Failure

GROUP: Final = "taskpost.commands"
"""The entry points by which other distributions add verbs: each names a `click.Command`."""
SUMMARIES: Final = "taskpost.summaries"
"""Entry points of the same names, each naming a line of text in a module that is quick to import: for `--help`."""
SUMMARY_CHARACTERS: Final = 100


@dataclass(frozen=True)
class Verb:
    """A verb, not imported yet. `summary` is an entry point for a verb that another distribution adds."""

    entry_point: EntryPoint
    summary: str | EntryPoint | None


def _own(verb: str, reference: str, summary: str) -> Verb:
    return Verb(EntryPoint(verb, f"taskpost.cli.{reference}", GROUP), summary)


VERBS: Final = {
    verb.entry_point.name: verb
    for verb in (
        _own("submit", "submit:submit", "Submit a task, and print its id."),
        _own("list", "tasks:list_tasks", "List tasks, newest first."),
        _own("get", "tasks:get", "Show a task as it is now."),
        _own("wait", "wait:wait", "Wait until tasks have ended."),
        _own("result", "tasks:result", "Print a task's result."),
        _own("log", "logs:log", "Print what a task has written."),
        _own("cancel", "tasks:cancel", "Cancel a task that has not ended."),
        _own("deliveries", "deliveries:deliveries", "Show the tries of a task's callback, or list callbacks."),
        _own("redeliver", "deliveries:redeliver", "Send a task's outcome again, or all that were given up."),
        _own("types", "types:types", "List the task types, or show one with its input."),
        _own("listen", "listen:listen", "Receive callbacks, print them, and check their signatures."),
        _own("check", "check:check", "Check that a service can do its work, from Redis to the callback."),
        _own("completion", "completion:completion", "Print the script that completes commands in a shell."),
    )
}
"""Our own verbs. Those of other distributions cannot replace them."""


def find(name: str) -> Verb | None:
    """Return the verb of this name, or None."""
    return VERBS.get(name) or _added().get(name)


def all_verbs() -> dict[str, Verb]:
    """Return every verb by its name: ours in the order of a task's life, then those of others."""
    return VERBS | {name: verb for name, verb in sorted(_added().items()) if name not in VERBS}


def load(verb: Verb) -> click.Command:
    """Import a verb.

    Raises:
        Failure: if it cannot be imported, or is not a command.
    """
    name, value = verb.entry_point.name, verb.entry_point.value
    try:
        command = verb.entry_point.load()
    except Exception as error:
        raise Failure(
            f"The verb {name!r} ({value}) cannot be loaded: {type(error).__name__}: {error}.",
            ExitCode.FAILED,
            "Is everything installed that it needs? For serve and demo: pip install 'taskpost-service[service]'.",
        ) from error
    if not isinstance(command, click.Command):
        raise Failure(f"The verb {name!r} ({value}) is not a click command.", ExitCode.FAILED)
    return command


def summary_of(verb: Verb) -> str | None:
    """Return what a verb does in one line, or None if it cannot be imported. One that has a summary is not imported."""
    if isinstance(verb.summary, str):
        return verb.summary
    if verb.summary is not None:
        try:
            return str(verb.summary.load())[:SUMMARY_CHARACTERS]
        except Exception:  # noqa: BLE001, S110 - code of others; the verb itself may be right
            pass
    try:
        return load(verb).get_short_help_str(SUMMARY_CHARACTERS)
    except Failure:
        return None


def _added() -> dict[str, Verb]:
    summaries = {entry_point.name: entry_point for entry_point in entry_points(group=SUMMARIES)}
    found = entry_points(group=GROUP)
    return {entry_point.name: Verb(entry_point, summaries.get(entry_point.name)) for entry_point in found}
