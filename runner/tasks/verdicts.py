"""What a task's function raises to say what the service should do."""

from __future__ import annotations

import re
from typing import Any, Final

from runner.contract import ErrorCode

LONGEST_SECONDS: Final = 365 * 24 * 3600
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OURS: Final = frozenset(code.value for code in ErrorCode)


class Fail(Exception):  # noqa: N818 - a verdict
    """The task has failed, for a reason that its type has a code for. It is tried again if `retry_on` lists the code.

    Raises:
        ValueError: if the code is not a word of a-z, 0-9 and '_', or is one of the service's own.
    """

    def __init__(self, code: str, message: str) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError(
                f"{code!r:.100} is not a valid error code: use 1 to 63 characters of a-z, 0-9 and '_', a letter first, "
                'as in Fail("no_text", "There is nothing to count")'
            )
        if code in _OURS:
            raise ValueError(f"the code {code!r} is the service's own; a task type has others")
        super().__init__(message)
        self.code = code


class Retry(Exception):  # noqa: N818 - a verdict
    """The attempt has failed and another may do better: after so many seconds, or after the type's own pause.

    When the type's `retries` are used up, or if it allows none, the task fails as `task_error` and its message says so.

    Raises:
        ValueError: if the seconds are not a number from 0 to a year.
    """

    def __init__(self, after_seconds: float | None = None, message: str = "The task asked to be tried again") -> None:
        if after_seconds is not None and not _is_time(after_seconds):
            raise ValueError(
                f"{after_seconds!r:.100} is not a number of seconds from 0 to {LONGEST_SECONDS}; "
                'a message alone is given by its name, as in Retry(message="rate limited")'
            )
        super().__init__(message)
        self.after_seconds = after_seconds


def _is_time(seconds: Any) -> bool:  # noqa: ANN401 - what an author may give
    try:
        return not isinstance(seconds, bool) and bool(0 <= seconds <= LONGEST_SECONDS)
    except TypeError:  # a text, or a timedelta
        return False
