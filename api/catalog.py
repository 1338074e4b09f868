"""The task types as they are now: those of Python modules, and those of the file, which is reread when it changes."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from api.core.task_types import TaskTypes
from api.described import Descriptions, DescriptionsPendingError
from api.executors.kubernetes.pods import PodFile, PodFileInvalid, read_pod_file
from api.known_types import known_types
from api.nearest import suggestion
from api.settings import SettingsError
from api.type_definitions import laid_over
from api.type_file import TypeFileInvalid, fault_lines, read_type_file
from runner.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from api.core.task_types import TaskTypeDefinition
    from api.settings import Settings
    from runner.tasks.registry import TaskType

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How old what is known of the file may be: it is asked for at every submission."""


class Catalog:
    """Gives the definitions by name when it is called; the same object until one of them changes.

    A type whose definition is wrong stays as it was, and is missing if it was not there before: it stops no other.
    """

    def __init__(self, settings: Settings) -> None:
        """Import the modules and read the file.

        Raises:
            SettingsError: if a module cannot be imported, or the file cannot be read.
        """
        known = known_types(settings)
        path = settings.task_types_file
        self._current: TaskTypes | None = None
        self._descriptions = Descriptions(settings.task_path)
        if path is None:
            types = TaskTypes(laid_over(known, {}, settings.type_concurrency))
            self._watched = Watched((), lambda: types)
        else:
            self._watched = Watched((path,), partial(self._read, path, known, settings))
        self._looked_at = 0.0
        try:
            self._current = self._watched.current()
        except OSError as error:
            raise SettingsError(f"{settings.label('task_types_file')} cannot be read: {error}") from None
        self._descriptions.waits = False
        _check_concurrency(settings, self._current)

    def __call__(self) -> Mapping[str, TaskTypeDefinition]:
        """Return the definitions. A file that cannot be read changes nothing, and is logged."""
        now_seconds = time.monotonic()
        before = self._current
        assert before is not None  # noqa: S101 - it is made with the catalog
        if now_seconds - self._looked_at <= LOOK_SECONDS:
            return before
        self._looked_at = now_seconds
        if self._descriptions.changed():
            self._watched.look_again()
        self._current = self._watched.current()
        if self._current is not before:
            added, removed = self._current.keys() - before.keys(), before.keys() - self._current.keys()
            logger.info("task_types_changed", extra={"added": sorted(added), "removed": sorted(removed)})
        return self._current

    def _read(self, path: Path, known: Mapping[str, TaskType], settings: Settings) -> TaskTypes:
        """Return the types of the file, without the faulty ones.

        Raises:
            OSError: if the file cannot be read.
            TypeFileInvalid: if nothing in it can be used, and there are types from before.
        """
        pods = pods_of(settings) if settings.executor == "kubernetes" else None
        try:
            types = read_type_file(
                path,
                known,
                settings.type_concurrency,
                secrets=own_secrets(settings),
                pods=pods,
                describe=self._descriptions,
            )
        except TypeFileInvalid as error:
            return self._usable(path, error)
        except DescriptionsPendingError:
            assert self._current is not None  # noqa: S101 - the first time, the code is waited for
            return self._current
        return TaskTypes(types)

    def _usable(self, path: Path, error: TypeFileInvalid) -> TaskTypes:
        """Return what can be used all the same: what is right; and what is wrong, or missing, as it was before.

        What is missing may only seem to be: a wrong indent makes a type a member of the one above it.
        """
        found, before = error.found, self._current
        if before is not None and not found.right:
            raise error
        types = dict(found.definitions if before is None else before)
        for name in found.right:
            types.pop(name, None)
            if name in found.definitions:
                types[name] = found.definitions[name]
        made = TaskTypes(types, found.faulty, complete=found.complete)
        for line in fault_lines(found):
            logger.error("task_type_faulty", extra={"reason": f"{path}: {line}"})
        if made.faulty or not found.complete:
            left_out = sorted(made.faulty) if found.complete else "unknown"
            logger.error("task_types_left_out", extra={"task_types": left_out, "file": str(path)})
        return made


def _check_concurrency(settings: Settings, types: TaskTypes) -> None:
    """Refuse limits for types that cannot be there: those of a file may come and go while the service runs."""
    unknown = sorted(settings.type_concurrency.keys() - types.keys() - types.faulty)
    if not unknown:
        return
    names = ", ".join(unknown)
    if settings.task_types_file is None:
        there = ", ".join(sorted(types))
        raise SettingsError(f"{settings.label('type_concurrency')} names {names}; the task types here are {there}")
    reason = f"{settings.label('type_concurrency')} names {names}: {suggestion(unknown[0], types)}"
    logger.warning("task_type_unknown", extra={"reason": reason})


def pods_of(settings: Settings) -> PodFile:
    """Return what the pods of all task types have.

    Raises:
        SettingsError: if the file cannot be used.
    """
    try:
        return read_pod_file(settings.pod_file, own_secrets(settings))
    except PodFileInvalid as error:
        raise SettingsError(f"{settings.label('pod_file')} cannot be used: {error}") from None


def own_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the names of Taskpost's own Secrets, which no task may have."""
    return (*settings.own_secrets, *([settings.runner_secret] if settings.runner_secret else []))
