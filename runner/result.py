"""A task's result as JSON text. What is not JSON never leaves us: such a result is a failure that says so."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from runner.contract import ErrorCode

MAX_SAFE_INTEGER: Final = 2**53
"""Up to it every JSON reader agrees on integers (RFC 8259, 6); beyond it they travel as decimal strings."""


class ResultRefused(Exception):  # noqa: N818 - a verdict, not a mistake
    """A result cannot be delivered: `code` says why in a word, the message in a sentence."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def encode_result(result: object, max_bytes: int) -> str:
    """Return a result as compact JSON text.

    Raises:
        ResultRefused: if it is not JSON (NaN, a set, a cycle, ...), or longer than `max_bytes` in UTF-8.
    """
    try:
        text = json.dumps(_portable(result, "result"), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except RecursionError:
        raise ResultRefused(ErrorCode.RESULT_INVALID, "The result is nested too deeply, or holds itself") from None
    except UnicodeEncodeError:
        raise ResultRefused(ErrorCode.RESULT_INVALID, "A string in the result is not Unicode text") from None
    if size > max_bytes:
        raise ResultRefused(
            ErrorCode.RESULT_TOO_LARGE, f"The result has {size} bytes; at most {max_bytes} are delivered"
        )
    return text


def _portable(value: Any, place: str) -> Any:  # noqa: ANN401 - any value a task may return
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value) if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ResultRefused(ErrorCode.RESULT_INVALID, f"{place} is {value}, which JSON cannot say")
        return value
    if isinstance(value, list | tuple):
        return [_portable(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {_key(key, place): _portable(item, f"{place}[{key!r}]") for key, item in value.items()}
    raise ResultRefused(ErrorCode.RESULT_INVALID, f"{place} is a {type(value).__name__}, which JSON cannot say")


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise ResultRefused(ErrorCode.RESULT_INVALID, f"{place} has the key {key!r}; keys are strings in JSON")
    return key
