"""The end of what an attempt wrote: bounded, and readable from its first line on."""

from __future__ import annotations

import pytest

from api.core.log_tail import LogTail, last_words, tail_of
from runner.tail_file import KEPT_BYTES


@pytest.mark.parametrize("data", [b"", b"one\n", b"\xff\x00\r\n", b"x" * KEPT_BYTES])
def test_what_fits_is_kept_as_it_is(data: bytes) -> None:
    assert tail_of(data) == LogTail(data)


def test_of_more_the_end_is_kept_from_a_line_s_begin_on() -> None:
    lines = b"".join(b"line %d\n" % number for number in range(20_000))
    tail = tail_of(lines)
    assert tail.truncated
    assert KEPT_BYTES - 20 < len(tail.data) <= KEPT_BYTES
    assert tail.data.startswith(b"line ") and tail.data.endswith(b"\nline 19999\n")


def test_a_line_without_an_end_is_kept_from_a_character_s_begin_on() -> None:
    tail = tail_of("€".encode() * 50_000)
    assert tail.truncated
    assert len(tail.data) > KEPT_BYTES - 3
    assert set(tail.data.decode()) == {"€"}


def test_the_last_line_is_never_dropped_for_the_first() -> None:
    assert tail_of(b"half a line\n", truncated=True).data == b"half a line\n"
    assert tail_of(b"\x80" * 10, truncated=True).data == b"\x80" * 7


def test_last_words_stand_in_for_a_log_that_cannot_be_read_only() -> None:
    unread = LogTail(note="its pod was gone")
    assert last_words(unread, "bye\n") == LogTail(b"bye\n", True, "its pod was gone; these are its last words")
    assert last_words(unread, " \n") == unread
    for read in (LogTail(b"all"), LogTail()):
        assert last_words(read, "bye") == read
