"""The end of what an attempt wrote to its standard output and standard error."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.tail_file import KEPT_BYTES, from_line_start


@dataclass(frozen=True, slots=True)
class LogTail:
    """The bytes that were written; they need not be text.

    `truncated` says that there was more before it. `note` says why there is nothing, or not all of it.
    """

    data: bytes = b""
    truncated: bool = False
    note: str = ""


def tail_of(data: bytes, *, truncated: bool = False) -> LogTail:
    """Return the last 64 KiB of `data`; `truncated` says that there was more before it already."""
    if len(data) > KEPT_BYTES:
        data, truncated = data[-KEPT_BYTES:], True
    return LogTail(from_line_start(data) if truncated else data, truncated)


def last_words(unread: LogTail, words: str) -> LogTail:
    """Return the few words that an executor observed of an attempt, in place of a log that cannot be read."""
    if unread.data or not unread.note or not words.strip():
        return unread
    return replace(tail_of(words.encode(), truncated=True), note=f"{unread.note}; these are its last words")
