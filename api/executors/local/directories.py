"""The directories of attempts: what is in them, whose they are, and the space that they take."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from api.embedded import lock, output
from api.embedded.process import Survivor
from api.executors.local.observe import parse_attempt_id

if TYPE_CHECKING:
    from pathlib import Path

    from api.core.observation import AttemptId

logger = logging.getLogger(__name__)

LOCK_NAME: Final = "lock"
LOG_NAME: Final = "log"
WORK_NAME: Final = "work"


def free_space(directory: Path) -> None:
    """Free the disk space of ended attempts, before Valkey starts: it may need that space."""
    with suppress(OSError):
        for path in directory.iterdir():
            output.trim(path / LOG_NAME)
            if parse_attempt_id(path.name) is not None and _is_over(path / LOCK_NAME):
                shutil.rmtree(path / WORK_NAME, ignore_errors=True)


def _is_over(lock_path: Path) -> bool:
    try:
        descriptor = os.open(lock_path, os.O_RDWR)
    except OSError:
        return False
    try:
        return lock.try_lock(descriptor)
    finally:
        os.close(descriptor)


def find_attempts(directory: Path) -> list[tuple[AttemptId, Survivor | None]]:
    """Return the attempts of an earlier service, each with its process if that can be identified."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    attempts = ((parse_attempt_id(path.name), path) for path in sorted(directory.iterdir()))
    return [(attempt_id, _survivor(path)) for attempt_id, path in attempts if attempt_id is not None]


def _survivor(directory: Path) -> Survivor | None:
    """Return the process of an attempt; if it is over, what it left in its group is killed."""
    try:
        survivor = Survivor(directory / LOCK_NAME, follows_pid=True)
    except OSError as error:
        logger.warning("attempt_unreadable", extra={"directory": str(directory), "error": str(error)})
        return None
    if not survivor.alive:
        survivor.wait()
    return survivor
