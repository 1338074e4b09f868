"""What the service knows of a task type. Where the definition comes from is the composition root's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class TaskTypeDefinition:
    """A named computation: what it takes, and its bounds.

    `input_schema` is a JSON Schema (2020-12). `concurrency` bounds the unfinished attempts of this type, None means
    that only the bound over all types holds. `default_timeout_seconds` gives the run time of one attempt for an input.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    example: Mapping[str, Any]
    concurrency: int | None
    max_timeout_seconds: float
    default_timeout_seconds: Callable[[Any], float]
