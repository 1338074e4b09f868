"""Task types that are registered in the process of the tests: what one test registers, the next one must not find."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runner.tasks import registry

if TYPE_CHECKING:
    from collections.abc import Collection


def names() -> frozenset[str]:
    return frozenset(registry._registered)


def forget(kept: Collection[str] = (), of: str = "") -> None:
    """Forget all task types but those kept and the built-in ones, or those of a module; it can be imported again."""
    for name in names().difference(kept, registry.BUILT_IN):
        module = registry._registered[name].function.__module__
        if of in ("", module):
            del registry._registered[name]
            sys.modules.pop(module, None)
