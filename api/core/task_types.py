"""What the service knows of a task type. Where the definition comes from is the composition root's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often a task is tried again after a failure: one that asks for it, or whose code is among these.

    The first pause doubles with each retry, up to an hour.
    """

    retries: int = 0
    pause_seconds: float = 10.0
    codes: tuple[str, ...] = ()


NO_RETRIES: Final = RetryRule()


@dataclass(frozen=True, slots=True)
class TaskTypeDefinition:
    """A named computation: what it takes, and its bounds.

    `python` names the function, as module:name, where the runner does not know the type by its own name. A type with a
    `command` is a container type: that is run in its image, with nothing of ours; without containers in `directory`.
    `image`, `env` and `pod` are what its attempts have that others have not, `pod` by the names of `PodSettings`.

    `input_schema` is a JSON Schema (2020-12); the `default` at its root is the input of tasks without one.
    `concurrency` bounds the unfinished attempts of this type, None means that only the bound over all types holds.
    `default_timeout_seconds` gives the run time of one attempt for an input.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    example: Mapping[str, Any]
    concurrency: int | None
    max_timeout_seconds: float
    default_timeout_seconds: Callable[[Any], float]
    retry: RetryRule = NO_RETRIES
    python: str | None = None
    command: tuple[str, ...] = ()
    directory: str = "."
    image: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)


class TaskTypes(dict[str, TaskTypeDefinition]):
    """The task types by name, and what is known of those that cannot be used now.

    `faulty` are the names of types whose definition is wrong. `complete` is False if there may be types whose names are
    not known, since the file that has them cannot be read.
    """

    def __init__(
        self, types: Mapping[str, TaskTypeDefinition], faulty: Collection[str] = (), *, complete: bool = True
    ) -> None:
        super().__init__(types)
        self.faulty = frozenset(faulty) - self.keys()
        self.complete = complete


def why_unusable(types: Mapping[str, TaskTypeDefinition], name: str) -> str | None:
    """Return why a task type that may exist cannot be used; None if it can, or if there is certainly no such type."""
    if name in types or not isinstance(types, TaskTypes):
        return None
    if name in types.faulty:
        return f"The definition of the task type {name} has faults; the log of the service names them"
    if not types.complete:
        return "The file of task types has faults, so it is not known whether there is this type; the log names them"
    return None


Definitions = Callable[[], "Mapping[str, TaskTypeDefinition]"]
"""Gives the task types by name as they are now; the same object until one of them changes."""
