"""Reading the head of a request: what is taken, what is refused and with which status."""

from __future__ import annotations

import pytest

from api.web.problems import Problem
from api.web.request_head import RequestHead, read_head


def head(line: str = "GET / HTTP/1.1", *fields: str, host: str | None = "Host: x") -> RequestHead:
    lines = [line, *((host,) if host is not None else ()), *fields]
    return read_head("\r\n".join([*lines, "", ""]).encode("latin-1"))


def status_of(*arguments: str, host: str | None = "Host: x") -> int:
    with pytest.raises(Problem) as raised:
        head(*arguments, host=host)
    return raised.value.status


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / HTTP/0.9",
        "GET / HTTP/3.0",
        "GET /",
        "PRI * HTTP/2.0",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        "get / HTTP/1.1",
        "FOO / HTTP/1.1",
        "GET / http/1.1",
        "SOURCE / ICE/1.0",
        "GET a HTTP/1.1",
        "SETUP rtsp://a/ RTSP/1.0",
        "GET /a b HTTP/1.1",
        "GET /\xe9 HTTP/1.1",
        "CONNECT x:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET http://u@x/ HTTP/1.1",
        "GET ftp://x/ HTTP/1.1",
        "GET http://x:y/ HTTP/1.1",
    ],
)
def test_request_lines_that_are_refused(line: str) -> None:
    assert status_of(line) == 400


@pytest.mark.parametrize(
    ("line", "path", "query"),
    [
        ("GET / HTTP/1.1", b"/", b""),
        ("GET /a?b=c?d HTTP/1.1", b"/a", b"b=c?d"),
        ("GET /a#b?c HTTP/1.1", b"/a", b""),
        ("GET //a//b HTTP/1.1", b"//a//b", b""),
        ("OPTIONS * HTTP/1.1", b"*", b""),
        ("GET http://x/a?b HTTP/1.1", b"/a", b"b"),
        ("GET http://x HTTP/1.1", b"/", b""),
        ("GET HTTP://x?a HTTP/1.1", b"/", b"a"),
    ],
)
def test_targets(line: str, path: bytes, query: bytes) -> None:
    read = head(line)
    assert (read.path, read.query) == (path, query)


def test_the_host_of_the_target_counts() -> None:
    assert head("GET http://evil.example:81/ HTTP/1.1").headers == [(b"host", b"evil.example:81")]


@pytest.mark.parametrize(
    "host",
    [
        None,
        "Host: x\r\nHost: x",
        "Host: x\r\nhOST: y",
        "Host: a b",
        "Host: u@x",
        "Host: a/b",
        "Host: a,b",
        "Host: x:80:80",
        "Host: x:http",
        "Host: [::1",
        "Host: \xe9",
    ],
)
def test_hosts_that_are_refused(host: str | None) -> None:
    assert status_of(host=host) == 400


@pytest.mark.parametrize("host", ["", "x", "X.Example.:80", "127.0.0.1:8000", "[::1]:80", "a_b", "x:"])
def test_hosts_that_are_taken(host: str) -> None:
    assert head(host=f"Host: {host}").headers == [(b"host", host.encode())]


def test_http_1_0() -> None:
    read = head("GET / HTTP/1.0", host=None)
    assert (read.version, read.keep_alive, read.length) == ("1.0", False, 0)
    assert status_of("GET / HTTP/1.0", "Host: x") == 400  # with the one of the helper these are two


def test_spaces_around_a_value_are_none_of_it() -> None:
    read = head("GET / HTTP/1.1", "Host: \t localhost \t ", "Idempotency-Key: k ", host=None)
    assert read.headers == [(b"host", b"localhost"), (b"idempotency-key", b"k")]


@pytest.mark.parametrize(
    ("field", "keep_alive"),
    [("X: y", True), ("Connection: close", False), ("Connection: keep-alive, CLOSE", False), ("Connection: x", True)],
)
def test_keep_alive(field: str, keep_alive: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert head("GET / HTTP/1.1", field).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ((), 0),
        (("Content-Length: 0",), 0),
        (("Content-Length: 12 ",), 12),
        (("Transfer-Encoding: chunked",), None),
        (("Transfer-Encoding: ChunkeD",), None),
        (("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AA", "Content-Length: 5"), 5),
        (("Upgrade: h2c", "Connection: Upgrade", "Transfer-Encoding: chunked"), None),
        (("Upgrade: websocket", "Connection: Upgrade"), 0),
    ],
)
def test_lengths(fields: tuple[str, ...], length: int | None) -> None:
    assert head("POST / HTTP/1.1", *fields).length == length


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 3", "Content-Length: 3"),
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: +3",),
        ("Content-Length: -3",),
        ("Content-Length: 3, 3",),
        ("Content-Length:",),
        (f"Content-Length: {'0' * 5000}3",),
        ("Content-Length: 0x3",),
        ("Content-Length: 99999999999999999999",),
        ("Content-Length : 3",),
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: identity",),
        ("Transfer-Encoding: chunked, chunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked, gzip",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: \x0bchunked",),
        ("Transfer-Encoding:",),
        ("Transfer-Encoding: xchunked",),
        ('Transfer-Encoding: "chunked"',),
        ("X: a\r\n b",),
        ("X: a\nContent-Length: 3",),
        ("X: a\rb",),
        ("X: a\0b",),
        (": x",),
        ("X y: z",),
        ("no colon",),
        ("Transfer-Encoding: chunked;q=1",),
        ("Content_Length: 3", "Transfer-Encoding: gzip;x"),
    ],
)
def test_messages_whose_end_is_not_clear(fields: tuple[str, ...]) -> None:
    assert status_of("POST / HTTP/1.1", *fields) == 400


@pytest.mark.parametrize(
    "fields",
    [
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: deflate,gzip , Chunked",),
    ],
)
def test_codings_that_are_not_read(fields: tuple[str, ...]) -> None:
    assert status_of("POST / HTTP/1.1", *fields) == 501


def test_chunks_are_of_http_1_1() -> None:
    assert status_of("POST / HTTP/1.0", "Transfer-Encoding: chunked", host=None) == 400


def test_the_number_of_headers() -> None:
    assert len(head("GET / HTTP/1.1", *(f"X-{number}: y" for number in range(99))).headers) == 100
    assert status_of("GET / HTTP/1.1", *(f"X-{number}: y" for number in range(100))) == 431


def test_expect() -> None:
    assert head("POST / HTTP/1.1", "Expect: 100-Continue", "Content-Length: 1").expects_continue
    assert not head("POST / HTTP/1.0", "Expect: 100-continue", "Content-Length: 1", host=None).expects_continue
