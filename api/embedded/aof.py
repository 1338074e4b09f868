"""Finds where Valkey's file of commands (its append-only file, RESP) is damaged, and whether its end alone is. Pure.

A power loss can leave zero bytes where the last write was to be: the file has grown, and its contents were not written.
Valkey itself cuts a last command that stops short (`aof-load-truncated`), and does not start where zeros follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import mmap

    Buffer = bytes | mmap.mmap

LINE_MAX_BYTES: Final = 32
ANNOTATION_MAX_BYTES: Final = 1024
MAX_CANDIDATES: Final = 10_000
"""How many places behind the damage are tried as the start of a command. With more, the damage goes beyond the end."""
MULTI: Final = b"*1\r\n$5\r\nMULTI\r\n"
EXEC: Final = b"*1\r\n$4\r\nEXEC\r\n"
_COMMAND: Final = re.compile(rb"\*[0-9]{1,9}\r\n\$[0-9]{1,9}\r\n")


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a file is damaged: `offset` is the end of the last whole command, or of the transaction before the damage.

    `at` is the first byte that cannot be read. `is_tail`: it is a zero, and no other command is behind it.
    """

    offset: int
    at: int
    is_tail: bool


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def examine(data: Buffer) -> Damage | None:
    """Return where the commands are damaged, or None. An incomplete last command is not damage."""
    at = offset = 0
    in_transaction = False
    while at < len(data):
        try:
            end = _end(data, at)
        except _Unreadable as fault:
            # The damage of one write begins in a transaction, or where a command would begin.
            begun = data[offset : fault.at][: len(MULTI) + 1].upper().rstrip(b"\0")
            rest_may_follow = in_transaction or MULTI.startswith(begun)
            others = _others_follow(data, fault.at, rest_may_follow=rest_may_follow)
            return Damage(offset, fault.at, is_tail=data[fault.at : fault.at + 1] == b"\0" and not others)
        if end > len(data):
            return None
        word = data[at:end].upper() if end - at == len(MULTI) or end - at == len(EXEC) else b""
        in_transaction = (in_transaction or word == MULTI) and word != EXEC
        at = end
        offset = offset if in_transaction else end
    return None


def _end(data: Buffer, at: int) -> int:
    """Return the end of the command (or annotation) that begins here; it is past the end of data that stop short."""
    if data[at : at + 1] == b"#":
        return _end_of_annotation(data, at)
    count, at = _number(data, at, b"*")
    for _ in range(count):
        if at > len(data):
            break
        length, at = _number(data, at, b"$")
        end = at + length
        if not b"\r\n".startswith(data[end : end + 2]):
            raise _Unreadable(end + (data[end : end + 1] == b"\r"))
        at = end + 2
    return at


def _end_of_annotation(data: Buffer, at: int) -> int:
    line = data[at : at + ANNOTATION_MAX_BYTES]
    text, newline, _ = line.partition(b"\n")
    if b"\0" in text or (not newline and len(line) == ANNOTATION_MAX_BYTES):
        raise _Unreadable(at + max(0, text.find(b"\0")))
    return at + len(text) + 1


def _number(data: Buffer, at: int, kind: bytes) -> tuple[int, int]:
    """Return the number in the line that begins here, and where the next line begins."""
    line = data[at : at + LINE_MAX_BYTES]
    if found := re.match(re.escape(kind) + rb"([0-9]+)\r\n", line):
        return int(found[1]), at + found.end()
    readable = re.match(rb"(" + re.escape(kind) + rb"([0-9]+\r?)?)?", line)
    end = at + (readable.end() if readable else 0)
    if end < len(data):
        raise _Unreadable(end)
    return 0, len(data) + 1


def _others_follow(data: Buffer, at: int, *, rest_may_follow: bool) -> bool:
    """Return whether whole commands follow the damage, other than the rest of the damaged transaction."""
    candidates = list(islice(_COMMAND.finditer(data, at), MAX_CANDIDATES))
    for candidate in candidates:
        try:
            whole = _end(data, candidate.start()) <= len(data)
        except _Unreadable:
            continue
        if whole:
            return not (rest_may_follow and _closes_transaction(data, candidate.start()))
    return len(candidates) == MAX_CANDIDATES


def _closes_transaction(data: Buffer, at: int) -> bool:
    """Return whether these commands are the rest of one transaction, with nothing but zeros behind it."""
    word = b""
    while at < len(data) and data[at : at + 1] != b"\0":
        try:
            end = _end(data, at)
        except _Unreadable:
            return False
        if word == EXEC or end > len(data):
            return False
        word = data[at:end].upper() if end - at <= len(MULTI) else b""
        if word == MULTI:
            return False
        at = end
    return word == EXEC and not data[at:].strip(b"\0")
