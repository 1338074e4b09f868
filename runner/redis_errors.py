"""Which errors of Redis pass by themselves, and so are worth repeating. Pure; used by the runner and by the service."""

from __future__ import annotations

from typing import Final

from redis import exceptions

PASSING_CODES: Final = frozenset(
    {
        "BUSY",  # a script runs for too long: the service ends it
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",  # its disk is full
        "NOAUTH",  # a password that is being changed is in Redis before it is in our file, or after
        "NOREPLICAS",
        "NOSCRIPT",  # the scripts were flushed between our loading one and our calling it
        "OOM",
        "READONLY",  # a failover is under way
        "TRYAGAIN",
        "WRONGPASS",
    }
)
_KILLED: Final = "Script killed by user"
"""A script that was ended has written nothing, and may have been ended in place of another."""
_FORBIDDEN_IN_SCRIPT: Final = "ACL failure in script"
_CODES: Final[dict[type[Exception], str]] = {
    exceptions.ReadOnlyError: "READONLY",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.NoScriptError: "NOSCRIPT",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.TryAgainError: "TRYAGAIN",
}
"""redis-py takes the code off the message where it has an exception of its own for it."""


def error_code(error: BaseException) -> str:
    """Return the code that begins an error of Redis, for example `OOM`, or "" if it has none."""
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    first, _, rest = str(error).partition(" ")
    return first if rest and first.isupper() and first.isascii() else ""


def passes(error: BaseException) -> bool:
    """Return whether the same command may succeed later without anybody changing it, its permissions or its data."""
    if isinstance(error, exceptions.ResponseError):
        return error_code(error) in PASSING_CODES or _KILLED in str(error)
    return isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | OSError)


def is_forbidden(error: BaseException) -> bool:
    """Return whether our user lacks a permission in Redis: calls fail until an administrator grants it."""
    return isinstance(error, exceptions.ResponseError) and (
        error_code(error) == "NOPERM" or _FORBIDDEN_IN_SCRIPT in str(error)
    )


def describe(error: BaseException) -> str:
    """Describe the answer of Redis, or that there was none."""
    code, text = error_code(error), str(error) or type(error).__name__
    if isinstance(error, exceptions.ResponseError):
        verb = "cannot do it now" if passes(error) else "refuses"
        return f"Redis {verb}: {text if not code or text.startswith(code) else f'{code} {text}'}"
    if isinstance(error, exceptions.BusyLoadingError):
        return f"Redis is loading its data: {text}"
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return f"Redis refuses our login: {text}"
    return f"Redis does not answer: {text}"
