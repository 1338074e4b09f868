"""What programs of container types do, and what comes of it: the same wherever they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """What a program does, and how its task ends. `words` are in the error's message."""

    do: list[list[Any]]
    result: Any = None
    code: str = ""
    words: str = ""
    percent: float | None = None
    message: str | None = None

    @property
    def task_input(self) -> dict[str, Any]:
        return {"do": self.do}


ECHO: list[list[Any]] = [["copy", "input.json", "result.json"]]
CASES = {
    "its input is its result": Case(
        [["copy", "input.json", "result.json"]], {"do": [["copy", "input.json", "result.json"]]}
    ),
    "nothing": Case([]),
    "a failure": Case(
        [["write", "result.json", "1"], ["say", "no such picture"], ["exit", 3]],
        code="task_error",
        words="The program ended with exit code 3. Its last output: no such picture",
    ),
    "a runner's exit code": Case([["exit", 4]], code="task_error", words="exit code 4"),
    "another of them": Case([["exit", 15]], code="task_error", words="exit code 15"),
    "progress without a newline": Case(
        [["write", "progress", "42.5"], ["exit", 1]], code="task_error", words="exit code 1", percent=42.5
    ),
    "progress with words": Case(
        [["write", "progress", "42\nresizing\u0007 it\n"], ["exit", 1]],
        code="task_error",
        percent=42.0,
        message="resizing it",
    ),
    "progress that is none": Case([["write", "progress", "-1 or nan"], ["write", "result.json", "[1]"]], [1]),
    "a half": Case(
        [["write", "result.json", '{"a": [1, 2']], code="result_invalid", words="result.json is not JSON: Expecting"
    ),
    "nothing in it": Case([["write", "result.json", ""]], code="result_invalid", words="result.json is not JSON"),
    "not a number": Case([["write", "result.json", "[NaN]"]], code="result_invalid", words="has NaN, which JSON"),
    "an endless number": Case([["write", "result.json", "[1e999]"]], code="result_invalid", words="1e999"),
    "half a character": Case([["write", "result.json", '"\\ud800"']], code="result_invalid", words="not Unicode text"),
    "no UTF-8": Case(
        [["write_hex", "result.json", "2220ff22"]],
        code="result_invalid",
        words="result.json is not UTF-8: byte 2 is 0xff",
    ),
    "too much": Case(
        [["write", "result.json", "[1234567],", 1_000_000]],
        code="result_too_large",
        words="the 8388608 bytes",
    ),
    "too deep": Case([["write", "result.json", "[", 1_000_000]], code="result_invalid"),
    "long numbers": Case(
        [["write", "result.json", "[9007199254740993, -12345678901234567890123, 5, 1.50]"]],
        ["9007199254740993", "-12345678901234567890123", 5, 1.5],
    ),
    "a link to secrets": Case(
        [["link", "result.json", "/proc/self/environ"], ["link", "progress", "/proc/self/environ"]],
        code="result_invalid",
        words="result.json cannot be read: it is not a regular file",
    ),
    "a link to itself": Case([["link", "result.json", "result.json"]], code="result_invalid", words="regular file"),
    "pipes": Case([["fifo", "progress"], ["fifo", "result.json"]], code="result_invalid", words="regular file"),
    "directories": Case([["mkdir", "progress"], ["mkdir", "result.json"]], code="result_invalid", words="regular file"),
    "endless progress": Case([["grow", "progress", "30 ", 2], ["exit", 1]], code="task_error", percent=30.0),
    "a huge number": Case([["write", "result.json", "9", 3_000_000]], "9" * 3_000_000),
}
