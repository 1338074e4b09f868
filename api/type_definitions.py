"""Makes the definitions of task types from their code and the file. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.core.example import example_of
from api.core.task_types import RetryRule, TaskTypeDefinition
from api.type_entry import TypeEntry
from runner.tasks.registry import DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.tasks.registry import TaskType


def laid_over(
    known: Mapping[str, TaskType],
    entries: Mapping[str, TypeEntry],
    concurrency: Mapping[str, int],
    directory: str = ".",
) -> Mapping[str, TaskTypeDefinition]:
    """Return the types that the service knows, with what the entries say of them and of others.

    `directory` is where commands are run that have no container.
    """
    names = sorted(name for name in known.keys() | entries.keys() if name not in entries or entries[name].enabled)
    return {
        name: definition(name, entries.get(name, TypeEntry()), known.get(name), concurrency.get(name), directory)
        for name in names
    }


def definition(
    name: str, entry: TypeEntry, known: TaskType | None, concurrency: int | None = None, directory: str = "."
) -> TaskTypeDefinition:
    """Return the definition of a type. Members that its entry leaves out come from its code."""
    longest = entry.max_timeout_seconds or (known.max_timeout_seconds if known else MAX_TIMEOUT_SECONDS)
    seconds = entry.timeout_seconds or min(DEFAULT_TIMEOUT_SECONDS, longest)
    schema = entry.input_schema if entry.input_schema is not None else known.input_schema if known else {}
    return TaskTypeDefinition(
        name=name,
        description=entry.description if entry.description is not None else known.description if known else "",
        input_schema=schema,
        example=example_of(schema, entry.example, known.example if known else None),
        concurrency=entry.concurrency or concurrency,
        max_timeout_seconds=longest,
        default_timeout_seconds=(
            known.default_timeout_seconds if known and entry.timeout_seconds is None else lambda _: seconds
        ),
        retry=RetryRule(entry.retries, entry.retry_pause_seconds, tuple(entry.retry_on)),
        python=entry.python,
        command=tuple(entry.command or ()),
        directory=directory,
        image=entry.image,
        env=entry.env,
        pod=entry.pod.settings(),
    )
