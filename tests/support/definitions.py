"""Definitions of task types for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.core.task_types import TaskTypeDefinition

if TYPE_CHECKING:
    from api.core.task_types import Definitions


def definition(name: str, **more: Any) -> TaskTypeDefinition:
    """A type that takes anything."""
    plain = {
        "description": "",
        "input_schema": {},
        "example": {},
        "concurrency": None,
        "max_timeout_seconds": 3600,
        "default_timeout_seconds": lambda _: 600,
    }
    return TaskTypeDefinition(name=name, **plain | more)


def definitions(*names: str) -> Definitions:
    """Types that take anything, as the service has them."""
    types = {name: definition(name) for name in names}
    return lambda: types
