"""Bodies by length and in chunks: the same in one segment and in many, and bounded in every part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.web.message_body import (
    LINES_AT_ONCE,
    MAX_CHUNK_LINE_BYTES,
    MAX_CHUNK_OVERHEAD_BYTES,
    MAX_TRAILER_BYTES,
    ChunkedBody,
    InvalidChunksError,
    SizedBody,
)


def read(sent: bytes, segment: int) -> tuple[bytes, bytes | None]:
    """Feed in segments; return the body, and what followed the message (None: it did not end)."""
    reader, body = ChunkedBody(), bytearray()
    for begin in range(0, len(sent), segment):
        rest = reader.feed(sent[begin : begin + segment], body)
        while reader.pending:
            pending, reader.pending = reader.pending, b""
            rest = reader.feed(pending, body)
        if rest is not None:
            return bytes(body), rest + sent[begin + segment :]
    return bytes(body), None


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    extension=st.sampled_from([b"", b";a=b", b" ; a", b';a="b;c"']),
    trailers=st.sampled_from([b"", b"X: y\r\n", b"X: y\r\nZ:\r\n"]),
    segment=st.integers(1, 200),
)
def test_chunks_in_any_segments(chunks: list[bytes], extension: bytes, trailers: bytes, segment: int) -> None:
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    assert read(coded + b"0\r\n" + trailers + b"\r\nGET", segment) == (b"".join(chunks), b"GET")


def test_a_body_of_a_length() -> None:
    reader, body = SizedBody(5), bytearray()
    assert reader.feed(b"ab", body) is None
    assert reader.feed(b"cdeGET", body) == b"GET"
    assert body == b"abcde"


@pytest.mark.parametrize("segment", [1, 7, 100_000])
@pytest.mark.parametrize(
    "sent",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b" 1\r\na\r\n",
        b"123456789\r\n",
        b"1\na\n",
        b"a" * 9 + b"\n",
        b"\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1 2\r\n",
        b"1;a\nb\r\n",
        b"1;\x00\r\n",
        b"0\r\nX y: z\r\n",
        b"0\r\n X: y\r\n",
        b"0\r\nnope\r\n",
        b"1;" + b"a" * MAX_CHUNK_LINE_BYTES,
        b"0" * (MAX_CHUNK_LINE_BYTES + 1),
        b"0\r\nX: " + b"y" * MAX_CHUNK_LINE_BYTES,
        b"0\r\n" + b"X: y\r\n" * MAX_TRAILER_BYTES,
    ],
)
def test_what_is_refused(sent: bytes, segment: int) -> None:
    with pytest.raises(InvalidChunksError):
        read(sent, segment)


def test_framing_is_bounded_however_small_the_chunks() -> None:
    sent = b"1\r\nx\r\n" * (MAX_CHUNK_OVERHEAD_BYTES // 5 + 1)
    with pytest.raises(InvalidChunksError):
        read(sent, 65_536)


def test_an_unfinished_line_is_bounded() -> None:
    assert read(b"0" * (MAX_CHUNK_LINE_BYTES - 2), 1) == (b"", None)


def test_very_many_chunks_are_read_in_steps() -> None:
    reader, body = ChunkedBody(), bytearray()
    assert reader.feed(b"1\r\nx\r\n" * LINES_AT_ONCE, body) is None
    assert (len(body), len(reader.pending)) == (LINES_AT_ONCE // 2, 6 * LINES_AT_ONCE // 2)
    assert read(b"1\r\nx\r\n" * 5000 + b"0\r\n\r\nGET", 65_536) == (b"x" * 5000, b"GET")
