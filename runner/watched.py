"""What is made of files, made anew when they change: mounted Secrets do so while a program runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

Made = TypeVar("Made")


class Watched(Generic[Made]):
    """`make` is called when the files have changed. What it made last stays while it raises: a file half written."""

    def __init__(self, paths: Sequence[Path], make: Callable[[], Made]) -> None:
        self._paths = paths
        self._make = make
        self._state: object = None
        self._made: Made | None = None

    def current(self) -> Made:
        """Return what the files are now.

        Raises:
            OSError, ValueError: what `make` raises, if it has never worked.
        """
        state = [_state(path) for path in self._paths]
        if self._made is None or state != self._state:
            try:
                self._made = self._make()
            except Exception as fault:
                if self._made is None:
                    raise
                reason = str(fault) if isinstance(fault, (OSError, ValueError)) else f"{type(fault).__name__}: {fault}"
                logger.warning("files_not_reread", extra={"reason": reason})
            self._state = state
        return self._made

    def look_again(self) -> None:
        """Make it anew at the next call, though the files have not changed: something else has."""
        self._state = None


def _state(path: Path) -> object:
    """A file that is replaced, as Kubernetes does by a link, has another inode."""
    try:
        found = path.stat()
    except OSError as fault:
        return str(fault)
    return found.st_ino, found.st_size, found.st_mtime_ns
