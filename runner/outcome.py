"""How an attempt ended, as its runner reports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runner.contract import Error, State
from runner.texts import bounded

MAX_MESSAGE_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: `done` with a result, or `failed` with an error; and how far it said it was."""

    state: State
    result_json: str
    error: Error | None
    percent: float = 0.0
    message: str = ""
    retry: str = ""
    """`own` if the task asks to be tried again after its type's pause, or after how many milliseconds."""


def failed(code: str, message: str, retry: str = "") -> Outcome:
    """Return a failure. A message of a task may hold what is not Unicode text: that is escaped."""
    return Outcome(
        State.FAILED, "null", Error(code=str(code), message=bounded(message, MAX_MESSAGE_CHARACTERS)), retry=retry
    )
