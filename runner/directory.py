"""The directory that a task's program shares with its runner: input, progress, result. The program is not trusted.

It may leave anything under these names: links out of the directory, pipes that nobody writes to, directories, files
that grow while they are read. So all is opened beneath a handle, without following links, and only regular files are
read, up to a bound.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from runner.contract import ErrorCode
from runner.result import MAX_SAFE_INTEGER, ResultRefused

if TYPE_CHECKING:
    from pathlib import Path

INPUT_NAME: Final = "input.json"
PROGRESS_NAME: Final = "progress"
RESULT_NAME: Final = "result.json"

PROGRESS_MAX_BYTES: Final = 4096
_PROGRESS: Final = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]*)?)%?(?!\S)\s*(.*)")
_SHORT_INTEGER_CHARACTERS: Final = len(str(MAX_SAFE_INTEGER))
_NOT_REGULAR: Final = "it is not a regular file"


class TaskDirectory:
    """The directory, by a handle: what becomes of its path does not matter."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def write_input(self, task_input: bytes) -> None:
        """Write the input, whole or not at all; one that is there already stays, as a program may be reading it.

        Raises:
            OSError: if that is not possible.
        """
        draft = f".{INPUT_NAME}-{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o444, dir_fd=self._handle), "wb") as file:
            file.write(task_input)
        with suppress(FileExistsError):
            os.link(draft, INPUT_NAME, src_dir_fd=self._handle, dst_dir_fd=self._handle)
        os.unlink(draft, dir_fd=self._handle)

    def read_progress(self) -> tuple[float, str] | None:
        """Return the percent that the program has written last, and its words; None if there is nothing to be read."""
        try:
            data = self._read(PROGRESS_NAME, PROGRESS_MAX_BYTES)
        except OSError:
            return None
        found = _PROGRESS.match(data.decode("utf-8", "replace"))
        if found is None:
            return None
        words = "".join(character for character in found[2] if character.isprintable())
        return min(float(found[1]), 100.0), words.strip()

    def read_result(self, max_bytes: int) -> str:
        """Return the program's result as compact JSON text: `null` if there is none.

        Raises:
            ResultRefused: if it is not JSON in UTF-8, not a regular file, or longer than `max_bytes`.
        """
        try:
            data = self._read(RESULT_NAME, max_bytes + 1)
        except FileNotFoundError:
            return "null"
        except OSError as error:
            raise _invalid(f"{RESULT_NAME} cannot be read: {error.strerror or error}") from None
        if len(data) > max_bytes:
            raise ResultRefused(
                ErrorCode.RESULT_TOO_LARGE, f"{RESULT_NAME} has more than the {max_bytes} bytes that are delivered"
            )
        text = _compact(data)
        if len(text.encode()) > max_bytes:  # a number may be longer as JSON says it back
            raise ResultRefused(ErrorCode.RESULT_TOO_LARGE, f"The result has more than {max_bytes} bytes")
        return text

    def _read(self, name: str, max_bytes: int) -> bytes:
        # Without O_NONBLOCK the opening of a pipe waits for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=self._handle)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
                raise OSError(_NOT_REGULAR) from None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(_NOT_REGULAR)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(max_bytes)
        finally:
            os.close(descriptor)


def _compact(data: bytes) -> str:
    """Return JSON anew, in a form that every reader understands: integers beyond 2^53 as strings of their digits."""
    try:
        value = json.loads(
            data.decode("utf-8"), parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant
        )
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except UnicodeDecodeError as error:
        raise _invalid(f"{RESULT_NAME} is not UTF-8: byte {error.start} is {data[error.start]:#04x}") from None
    except UnicodeEncodeError:
        raise _invalid(f"A string in {RESULT_NAME} is not Unicode text") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"{RESULT_NAME} is not JSON: {error}") from None
    except RecursionError:
        raise _invalid(f"{RESULT_NAME} is nested too deeply") from None
    return text


def _integer(digits: str) -> int | str:
    # The digits of a long one are never turned into a number: that takes minutes for millions of them.
    if len(digits) > _SHORT_INTEGER_CHARACTERS + 1:
        return digits
    number = int(digits)
    return number if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER else digits


def _number(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise _invalid(f"{RESULT_NAME} has the number {text[:40]}, which is beyond what readers of JSON can hold")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise _invalid(f"{RESULT_NAME} has {name}, which JSON cannot say")


def _invalid(message: str) -> ResultRefused:
    return ResultRefused(ErrorCode.RESULT_INVALID, message)
