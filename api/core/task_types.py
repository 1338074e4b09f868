"""What the service knows of a task type. Where the definition comes from is the composition root's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


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


Definitions = Callable[[], "Mapping[str, TaskTypeDefinition]"]
"""Gives the task types by name as they are now; the same object until one of them changes."""
