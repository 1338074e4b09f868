"""The checks of `taskpost check`, in the order in which a task needs what they check."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from taskpost.errors import NotFound, TaskpostError
from taskpost.transport import Transport, read, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Say = Callable[[str], object]

PAUSE_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 30.0
"""The service asks Redis and the API server, which may take their time."""
LEAST_ANSWER_SECONDS: Final = 1.0
SERVICE: Final = "service"


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """A check that was made."""

    name: str
    status: Status
    message: str


@dataclass(frozen=True)
class Deadline:
    """When to give up, by the steady clock."""

    at_seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that is so many seconds away."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, 0 if none are."""
        return max(self.at_seconds - time.monotonic(), 0.0)


def check_service(url: str, deadline: Deadline | None, say: Say) -> Sequence[Check]:
    """Return the checks of the service at `url`: whether it answers, and what it depends on.

    With a deadline it is asked until all is well, and `say` is told what is waited for.
    """
    told = ""
    while True:
        found = _ask(url, ANSWER_SECONDS if deadline is None else deadline.left())
        wrong = next((one for one in found if one.status is Status.FAILED), None)
        if wrong is None or deadline is None or not deadline.left():
            return found
        text = f"Waiting for {wrong.name}: {wrong.message}"
        if text != told:
            say(text)
            told = text
        time.sleep(min(PAUSE_SECONDS, deadline.left()))


def _ask(url: str, seconds: float) -> Sequence[Check]:
    transport = Transport(url, min(max(seconds, LEAST_ANSWER_SECONDS), ANSWER_SECONDS))
    url = shown(url)
    try:
        return [Check(SERVICE, Status.OK, f"{url} answers"), *read(transport.request("GET", "/api/checks"), _checks)]
    except NotFound:
        message = f"{url} does not know GET /api/checks: it is older than this command, or not a Taskpost service"
        return [Check(SERVICE, Status.FAILED, message)]
    except TaskpostError as error:
        return [Check(SERVICE, Status.FAILED, str(error))]
    finally:
        transport.close()


def _checks(document: Any) -> list[Check]:  # noqa: ANN401 - any JSON value
    return [
        Check(str(one["name"]), Status.OK if one["ok"] else Status.FAILED, str(one["message"]))
        for one in document["checks"]
    ]
