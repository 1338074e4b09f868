"""Reads the descriptions of task types from their code, in a separate process, so the service imports none of it.

Without the code (in a cluster only the image of the type has it) the file of task types must contain them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from runner.contract import Env

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

ASK_SECONDS: Final = 30.0
MAX_REASON_CHARACTERS: Final = 500

Description = dict[str, Any]
"""`description`, `input_schema` and perhaps `example` of a function; or `error`, which says why there are none."""


class DescriptionsPendingError(Exception):
    """The descriptions are not known yet; they are being read."""


class Descriptions:
    """Answers by reference (`module:function`).

    The first call waits. Later ones must not, since the service is running: then the code is asked in a thread, and
    `changed` says when there is something new.
    """

    def __init__(self, task_path: Sequence[str]) -> None:
        self._task_path = os.pathsep.join(task_path)
        self._known: dict[str, Description] = {}
        self._asking: threading.Thread | None = None
        self._changed = threading.Event()
        self._is_fresh = False
        self._is_awaited = False
        self.waits = True

    def __call__(self, references: Collection[str]) -> Mapping[str, Description]:
        """Return the description of each reference.

        Raises:
            DescriptionsPendingError: if it was never asked about one of them, and this may not wait.
        """
        if not references:
            return {}
        if self.waits:
            self._known = ask(references, self._task_path)
        missing = set(references) - self._known.keys()
        if not self.waits and (missing or not self._is_fresh):
            self._ask_in_thread(frozenset(references))
        self._is_fresh = False
        if missing:
            self._is_awaited = True
            raise DescriptionsPendingError
        return {reference: self._known[reference] for reference in references}

    def changed(self) -> bool:
        """Whether a description has changed since the last call."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    def _ask_in_thread(self, references: frozenset[str]) -> None:
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask, args=(references,), name="describe", daemon=True)
            self._asking.start()

    def _ask(self, references: frozenset[str]) -> None:
        found = ask(references, self._task_path)
        is_new = any(self._known.get(reference) != said for reference, said in found.items())
        self._known = self._known | found
        if is_new or self._is_awaited:
            self._is_fresh, self._is_awaited = True, False
            self._changed.set()


def ask(references: Collection[str], task_path: str) -> dict[str, Description]:
    """Return the descriptions from a process that imports the code; waits for at most half a minute."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}
    environment[Env.TASK_PATH] = task_path
    command = [sys.executable, "-P", "-m", "runner", "describe", "--json"]
    given = json.dumps(sorted(references)).encode()
    try:
        ended = subprocess.run(  # noqa: S603 - our own program
            command, input=given, env=environment, capture_output=True, timeout=ASK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _none(references, f"importing it takes more than {ASK_SECONDS:g} seconds")
    except OSError as error:
        return _none(references, f"no process can be started to import it: {error}")
    try:
        found: dict[str, Description] = json.loads(ended.stdout)
    except ValueError:
        last = ended.stderr.decode(errors="replace").strip()[-MAX_REASON_CHARACTERS:]
        return _none(references, f"the process that imports it ended without an answer: {last}")
    return found


def _none(references: Collection[str], why: str) -> dict[str, Description]:
    return {reference: {"error": why} for reference in references}
