"""The task types as they are now: those of Python modules, and those of the file, which is reread when it changes."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from api.core.input_schema import InputSchemaError, compile_schema
from api.executors.kubernetes.pods import PodFile, PodFileInvalid, read_pod_file
from api.settings import SettingsError
from api.type_file import TypeFileInvalid, laid_over, read_type_file
from runner.contract import Env
from runner.tasks.registry import TaskModuleError, load_all
from runner.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.core.task_types import TaskTypeDefinition
    from api.settings import Settings
    from runner.tasks.registry import TaskType

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How old what is known of the file may be: it is asked for at every submission."""


class Catalog:
    """Gives the definitions by name when it is called; the same object until one of them changes."""

    def __init__(self, settings: Settings) -> None:
        """Import the modules and read the file.

        Raises:
            SettingsError: if a module cannot be imported, or something in the file is wrong.
        """
        known = _known(settings)
        path = settings.task_types_file
        if path is None:
            self._watched = Watched((), lambda: laid_over(known, {}, settings.type_concurrency))
        else:
            pods = pods_of(settings) if settings.executor == "kubernetes" else None
            secrets = _secrets(settings)
            self._watched = Watched(
                (path,), lambda: read_type_file(path, known, settings.type_concurrency, secrets=secrets, pods=pods)
            )
        self._looked_at = 0.0
        try:
            self._current = self._watched.current()
        except OSError as error:
            raise SettingsError(f"TASKPOST_TASK_TYPES_FILE cannot be read: {error}") from None
        except TypeFileInvalid as error:
            raise SettingsError(f"TASKPOST_TASK_TYPES_FILE cannot be used:\n{error}") from None
        unknown = sorted(settings.type_concurrency.keys() - self._current.keys())
        if unknown:
            there = ", ".join(sorted(self._current))
            raise SettingsError(
                f"TASKPOST_TYPE_CONCURRENCY names {', '.join(unknown)}; the task types here are {there}"
            )

    def __call__(self) -> Mapping[str, TaskTypeDefinition]:
        """Return the definitions. A file that has become wrong changes nothing, and is logged."""
        now_seconds = time.monotonic()
        if now_seconds - self._looked_at > LOOK_SECONDS:
            self._looked_at = now_seconds
            before, self._current = self._current, self._watched.current()
            if self._current is not before:
                added, removed = self._current.keys() - before.keys(), before.keys() - self._current.keys()
                logger.info("task_types_changed", extra={"added": sorted(added), "removed": sorted(removed)})
        return self._current


def pods_of(settings: Settings) -> PodFile:
    """Return what the pods of all task types have.

    Raises:
        SettingsError: if the file cannot be used.
    """
    try:
        return read_pod_file(settings.pod_file, _secrets(settings))
    except PodFileInvalid as error:
        raise SettingsError(f"TASKPOST_POD_FILE cannot be used: {error}") from None


def _secrets(settings: Settings) -> tuple[str, ...]:
    """Return the names of Taskpost's own Secrets, which no task may have."""
    return (*settings.own_secrets, *([settings.runner_secret] if settings.runner_secret else []))


def _known(settings: Settings) -> Mapping[str, TaskType]:
    try:
        known = load_all(settings.task_modules, settings.task_path)
    except TaskModuleError as error:
        raise SettingsError(f"{Env.TASK_MODULES}: {error}") from None
    for name, task_type in known.items():
        try:
            compile_schema(task_type.input_schema)
        except InputSchemaError as error:
            raise SettingsError(f"{Env.TASK_MODULES}: task type {name}: {error}") from None
    return known
