"""A status that was received decides, whatever else came: raw answers over real sockets, and a reader fed anything."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.delivery.answer_reader import MAX_BODY_BYTES, MAX_HEAD_BYTES, AnswerReader
from runner.delivery.guard import Policy
from runner.delivery.post import Sender
from runner.delivery.tls import Tls, TlsFiles
from tests.support.serving import serving

OPEN = Policy(allow_loopback=True)
OK = b"HTTP/1.1 200 OK\r\n"
END = b"\r\n\r\n"

DELIVERED = {
    "a space in a name": OK + b"X Powered By: me\r\nContent-Length: 2" + END + b"ok",
    "a line without a colon": OK + b"nonsense\r\nContent-Length: 2" + END + b"ok",
    "a line that begins with a colon": OK + b": nothing" + END,
    "a control byte in a value": OK + b"X: a\x01b\x7f\r\nContent-Length: 0" + END,
    "a NUL in a value": OK + b"X: a\x00b" + END,
    "a NUL in a name": OK + b"X\x00: b" + END,
    "bytes that are not ASCII": OK + "Grüße: Ä\r\n".encode() + b"\xff\xfe: \xff" + END,
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" + END + b"0" + END,
    "chunked, chunked": OK + b"Transfer-Encoding: chunked, chunked" + END + b"0" + END,
    "an unknown coding": OK + b"Transfer-Encoding: rot13" + END + b"bx",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3" + END + b"ok",
    "a length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked" + END + b"2\r\nok\r\n0" + END,
    "a negative length": OK + b"Content-Length: -1" + END + b"ok",
    "a length that is no number": OK + b"Content-Length: two" + END + b"ok",
    "a length of many digits": OK + b"Content-Length: " + b"9" * 5000 + END + b"ok",
    "a body shorter than its length": OK + b"Content-Length: 100" + END + b"ok",
    "chunks that are cut off": OK + b"Transfer-Encoding: chunked" + END + b"5\r\nab",
    "chunks of nonsense": OK + b"Transfer-Encoding: chunked" + END + b"zz\r\nab\r\n",
    "150 KB of headers": OK + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 100) for n in range(1500)) + b"\r\n",
    "a header of 1 MB": OK + b"X: " + b"v" * 2**20 + END,
    "headers without an end": OK + b"X: v\r\n" * 100_000,
    "a folded header": OK + b"X: a\r\n b\r\n\tc\r\nContent-Length: 0" + END,
    "a folded first header": OK + b" b: c" + END,
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a bare carriage return": b"HTTP/1.1 200 OK\rX: y\r\n\r\n",
    "small letters": b"http/1.1 200 ok" + END,
    "no reason": b"HTTP/1.1 200" + END,
    "a space for a reason": b"HTTP/1.1 200 " + END,
    "several spaces": b"HTTP/1.1  200  OK" + END,
    "a tab": b"HTTP/1.1\t200\tOK" + END,
    "a reason that is not ASCII": b"HTTP/1.1 200 \xe2\x9c\x93\x00" + END,
    "a long reason": b"HTTP/1.1 200 " + b"O" * 2**20 + END,
    "HTTP/1.0": b"HTTP/1.0 200 OK" + END + b"ok",
    "HTTP/2 in words": b"HTTP/2 200" + END,
    "HTTP/1.10": b"HTTP/1.10 200 OK" + END,
    "blank lines before it": b"\r\n\n\r\n" + OK + b"\r\n",
    "100 before it": b"HTTP/1.1 100 Continue" + END + OK + b"\r\n",
    "103 before it": b"HTTP/1.1 103 Early Hints\r\nLink: </a>" + END + OK + b"\r\n",
    "102 without a blank line before it": b"HTTP/1.1 102 Processing\r\n" + OK + b"\r\n",
    "100 that has headers that are wrong": b"HTTP/1.1 100 Continue\r\nno colon\r\nA B: c" + END + OK + b"\r\n",
    "a thousand 100s before it": (b"HTTP/1.1 100 Continue" + END) * 1000 + OK + b"\r\n",
    "a status line without its end": b"HTTP/1.1 200 OK",
    "a status and nothing else": b"HTTP/1.1 200",
    "a head without its end": OK + b"Content-Le",
    "an upgrade": OK + b"Upgrade: h2c\r\nConnection: upgrade" + END,
    "204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 2" + END + b"ok",
    "a body with no length": OK + b"\r\nok",
    "a body in gzip that is none": OK + b"Content-Encoding: gzip\r\nContent-Length: 2" + END + b"ok",
    "two answers": OK + b"Content-Length: 0" + END + b"HTTP/1.1 500 No" + END,
    "two answers in a row": OK + b"\r\nHTTP/1.1 500 No" + END,
}
NOT_DELIVERED = {
    b"HTTP/1.1 500 No\r\nX Y: z" + END: (500, "the receiver answered 500"),
    b"HTTP/1.1 301 Moved\r\nno colon" + END: (301, "redirects are not followed"),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x" + END: (101, "the receiver answered 101"),
    b"HTTP/1.1 999 What" + END: (999, "the receiver answered 999"),
    b"HTTP/1.1 100 Continue" + END: (None, "after an interim answer (100)"),
    b"HTTP/1.1 2000 OK" + END: (None, "not HTTP: it begins with 'HTTP/1.1 2000 OK"),
    b"HTTP/1.1 20": (None, "not HTTP: it begins with 'HTTP/1.1 20'"),
    b"HTTP/1.1 " + "٢٠٠".encode() + END: (None, "not HTTP"),
    b"200 OK" + END: (None, "not HTTP: it begins with '200 OK"),
    b"SSH-2.0-OpenSSH_9.2p1\r\n": (None, r"not HTTP: it begins with 'SSH-2.0-OpenSSH_9.2p1\r\n'"),
    b"-ERR unknown command\r\n": (None, "not HTTP"),
    b"\x1b[31m\x00\xe2\x80\xae" + b"x" * 2**20: (None, r"not HTTP: it begins with '\x1b[31m\x00"),
    b"<html>HTTP/1.1 200 OK</html>": (None, "not HTTP"),
    b"\x00\x00\x12\x04\x00\x00\x00\x00\x00": (None, "HTTP/2 alone"),
    b"\x15\x03\x01\x00\x02\x02\x46": (None, "write https:// in the result_url"),
    b"": (None, "closed without an answer"),
    b"\r\n\r\n": (None, "closed without an answer"),
}


@asynccontextmanager
async def answering(raw, *, reads=2**20, resets=False, closes=True):
    """A receiver that reads so much of a request and answers with these bytes."""
    done = asyncio.Event()

    async def serve(reader, writer):
        await reader.read(reads)
        writer.write(raw)
        try:
            await writer.drain()
            if resets:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            elif not closes:
                await done.wait()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with serving(serve) as address:
        yield f"http://{address}/"
        done.set()


async def post(url, body=b"{}", timeout_seconds=5.0, **more):
    sender = Sender(lambda: (), OPEN, Tls(TlsFiles()))
    return await sender.post(url, "msg_1", body, now_seconds=time.time(), timeout_seconds=timeout_seconds, **more)


@pytest.mark.parametrize("what", DELIVERED)
@pytest.mark.parametrize("ends", ["closes", "resets", "stays open"])
async def test_a_status_line_that_was_received_decides(what, ends):
    async with answering(DELIVERED[what], resets=ends == "resets", closes=ends == "closes") as url:
        result = await post(url, timeout_seconds=1)
    assert (result.error, result.status // 100) == (None, 2)
    assert result.duration_seconds < 2


@pytest.mark.parametrize(("raw", "told"), NOT_DELIVERED.items(), ids=[repr(raw[:20]) for raw in NOT_DELIVERED])
async def test_what_is_no_success_says_what_it_is(raw, told):
    async with answering(raw) as url:
        result = await post(url)
    assert not result.delivered
    assert result.status == told[0]
    assert told[1] in result.error
    assert len(result.error) <= 300


@pytest.mark.parametrize(
    "head", [b"X Y: z\r\nRetry-After: 7", b"no colon\r\nretry-after:7\r\nA: \x01", b" RETRY-AFTER : 7"]
)
async def test_retry_after_is_read_when_it_can_be(head):
    async with answering(b"HTTP/1.1 503 No\r\n" + head + END) as url:
        result = await post(url)
    assert (result.status, result.retry_after_seconds) == (503, 7)


@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("resets", [False, True])
async def test_an_answer_that_comes_before_the_body_is_sent_counts(status, resets):
    raw = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status
    async with answering(raw, reads=1000, resets=resets) as url:
        for _ in range(20):
            result = await post(url, bytes(8 * 2**20))
            assert result.status == status
            assert result.delivered == (status == 200)


async def test_who_answers_200_early_and_reads_on_gets_the_whole_body():
    body, got = bytes(4 * 2**20), asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        head = await reader.readuntil(END)
        writer.write(OK + b"Content-Length: 0" + END)
        await writer.drain()
        writer.write_eof()
        got.set_result(len(head) and len(await reader.read(-1)))
        writer.close()

    async with serving(serve) as address:
        result = await post(f"http://{address}/", body)
        assert (result.delivered, await got) == (True, len(body))


async def test_a_receiver_that_closes_its_sending_side_after_the_answer_has_answered():
    async def serve(reader, writer):
        writer.write(OK + b"\r\n")
        writer.write_eof()
        await reader.read(-1)
        writer.close()

    async with serving(serve) as address:
        result = await post(f"http://{address}/")
    assert result.delivered
    assert result.duration_seconds < 2


@pytest.mark.parametrize("piece", [b"X: v\r\n", b"v", b"HTTP/1.1 200 OK\r\n"])
async def test_a_head_without_end_costs_a_second(piece):
    async def serve(reader, writer):
        await reader.readuntil(END)
        writer.write(OK)
        try:
            while True:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)  # slowness is what is tested
        except ConnectionError:
            writer.close()

    async with serving(serve) as address:
        result = await post(f"http://{address}/")
    assert result.delivered
    assert result.duration_seconds < 2


async def test_interim_answers_without_end_are_bounded():
    async with answering((b"HTTP/1.1 100 Continue" + END) * 100_000) as url:
        result = await post(url)
    assert result.error is not None
    assert "interim answer (100)" in result.error
    assert result.duration_seconds < 2


# The reader alone.


def read(*pieces: bytes) -> AnswerReader:
    reader = AnswerReader()
    for piece in pieces:
        reader.feed(piece)
    reader.feed(b"")
    return reader


STATUSES = [b"HTTP/1.1 ", b"200", b"100", b"500", b" OK", b"http/1.0 204"]
SIGNS = [b"\r\n", b"\n", b"\r", b":", b" ", b"\x00", b"5", b"\xff", b"\r\n0\r\n\r\n", b"x" * 5000]
HEADERS = [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Retry-After: 1"]
PARTS = st.sampled_from([*STATUSES, *SIGNS, *HEADERS])


@given(st.lists(st.one_of(PARTS, st.binary(max_size=20)), max_size=30), st.randoms(use_true_random=False))
def test_nothing_makes_the_reader_raise_and_pieces_do_not_matter(parts, random):
    raw = b"".join(parts)
    whole = read(raw)
    cuts = sorted(random.randint(0, len(raw)) for _ in range(5))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True) if start < end]
    for other in (read(*pieces), read(*(bytes([byte]) for byte in raw[:500]))) if len(raw) <= 500 else (read(*pieces),):
        assert (other.status, other.headers, other.body) == (whole.status, whole.headers, whole.body)
    assert whole.finished
    assert len(whole.body) <= MAX_BODY_BYTES


@given(st.integers(100, 999), st.binary(max_size=200), st.sampled_from([b"\r\n", b"\n", b" ", b"\t", b" X\r\n", b"x"]))
def test_whatever_follows_a_final_status_it_stands(status, rest, after):
    reader = read(b"HTTP/1.1 %d" % status + after + rest)
    if status // 100 != 1 or status == 101:
        assert reader.status == status


def test_bytes_that_come_one_by_one_cost_no_more_than_their_number():
    reader = AnswerReader()
    began = time.process_time()
    for byte in OK + b"X: " + b"v" * MAX_HEAD_BYTES:
        reader.feed(bytes([byte]))
    assert reader.finished
    assert time.process_time() - began < 5, "twice as long is not twice as much of everything before it"


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\nabc", b""),
        (b"Content-Length: 3\r\n\r\nabcdef", b"abcdef"),
    ],
)
def test_the_framing_of_chunks_is_not_shown(raw, body):
    assert read(OK + raw).body == body
