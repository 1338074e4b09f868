"""Signatures, held against the library of the standard, and the receiver."""

from __future__ import annotations

import base64
import math
import select
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from taskpost import receiver_server
from taskpost.receiver import Received, Receiver, SignatureInvalid, verify

KEY, OTHER_KEY, THIRD_KEY = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in range(3))
BODY = '{"status":"done","text":"größer"}'.encode()


def signed(*keys: str, body: bytes = BODY, moment: datetime | None = None) -> dict[str, str]:
    """Headers as the standard's own library makes them, now or at a moment."""
    moment = moment or datetime.now(UTC)
    signatures = [Webhook(key).sign("msg_1", moment.replace(tzinfo=UTC), body.decode()) for key in keys]
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def test_what_the_standard_signs_is_verified() -> None:
    headers = signed(KEY)

    verify(headers, BODY, KEY)
    verify({name.title(): value for name, value in headers.items()}, BODY, [KEY], now=datetime.now(UTC))
    assert Webhook(KEY).verify(BODY, headers)


def test_keys_without_padding_are_the_same_keys() -> None:
    verify(signed(KEY), BODY, KEY.rstrip("="))


def test_keys_can_be_exchanged() -> None:
    verify(signed(KEY, OTHER_KEY), BODY, OTHER_KEY)
    verify(signed(KEY), BODY, iter([OTHER_KEY, KEY]))
    later = signed(KEY)
    later["webhook-signature"] = "v1a,bmV3ZXI= not-one " + later["webhook-signature"]
    verify(later, BODY, KEY)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(OTHER_KEY, THIRD_KEY), BODY),
        (signed(KEY), BODY + b" "),
        ({**signed(KEY), "webhook-id": "msg_2"}, BODY),
        ({**signed(KEY), "webhook-signature": signed(KEY)["webhook-signature"].removeprefix("v1,")}, BODY),
        ({**signed(KEY), "webhook-signature": signed(KEY)["webhook-signature"].replace("v1,", "v2,")}, BODY),
        ({**signed(KEY), "webhook-signature": "v1,ü\udc80"}, BODY),
        ({**signed(KEY), "webhook-signature": " "}, BODY),
    ],
)
def test_a_signature_of_something_else_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="No signature in webhook-signature fits"):
        verify(headers, body, KEY, now=datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC))


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    headers = signed(KEY)
    del headers[name]

    with pytest.raises(SignatureInvalid, match=f"The header {name} is missing"):
        verify(headers, BODY, KEY)


def test_only_what_is_fresh_is_taken() -> None:
    headers = signed(KEY)
    stamped = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)

    verify(headers, BODY, KEY, now=stamped + timedelta(seconds=300))
    verify(headers, BODY, KEY, now=stamped + timedelta(seconds=400), tolerance_seconds=400)
    with pytest.raises(SignatureInvalid, match="The callback is 301 s old; 300 s are allowed"):
        verify(headers, BODY, KEY, now=stamped + timedelta(seconds=301))
    with pytest.raises(SignatureInvalid, match="The callback is 301 s in the future"):
        verify(headers, BODY, KEY, now=stamped - timedelta(seconds=301))


@pytest.mark.parametrize("timestamp", ["now", "-1", "1.5", "٣", "9" * 5000])
def test_a_timestamp_is_whole_seconds(timestamp: str) -> None:
    with pytest.raises(SignatureInvalid, match="not a Unix time in seconds"):
        verify({**signed(KEY), "webhook-timestamp": timestamp}, BODY, KEY)


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_!!!!", "whsec_ü", KEY.removeprefix("whsec_")])
def test_a_wrong_key_is_a_fault_of_the_program(key: str) -> None:
    with pytest.raises(ValueError, match="A key looks like whsec_<base64>, with 24 bytes at least"):
        verify(signed(KEY), BODY, key)


def test_no_key_is_a_fault_too() -> None:
    with pytest.raises(ValueError, match="No key"):
        verify(signed(KEY), BODY, [])


def test_headers_of_any_mapping_will_do() -> None:
    message = Message()
    for name, value in signed(KEY).items():
        message[name.upper()] = value

    verify(httpx.Headers(signed(KEY)), BODY, KEY)
    verify(dict(message.items()), BODY, KEY)


def test_the_receiver_keeps_what_comes_in() -> None:
    with Receiver() as receiver:
        assert httpx.post(receiver.url + "a/path?b", content=BODY, headers=signed(KEY)).status_code == 200
        received = receiver.next(5)

    verify(received.headers, received.body, KEY, now=received.received_at)
    assert (received.path, received.json()["status"]) == ("/a/path?b", "done")


def test_the_receiver_answers_as_it_is_told() -> None:
    statuses: list[int | None] = [503, None, 204]

    def respond(received: Received) -> int | None:
        assert received.body == BODY
        return statuses.pop(0)

    with Receiver(respond) as receiver:
        assert httpx.post(receiver.url, content=BODY).status_code == 503
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(receiver.url, content=BODY)
        assert httpx.post(receiver.url, content=BODY).status_code == 204
        assert [receiver.next(5).body for _ in range(3)] == [BODY] * 3


def test_waiting_for_nothing_ends() -> None:
    with Receiver() as receiver, pytest.raises(TimeoutError, match=r"Nothing was received at http.* within 0.01 s"):
        receiver.next(0.01)


@pytest.mark.parametrize("seconds", [0, -1, 0.0])
def test_no_time_to_wait_ends_at_once(seconds: float) -> None:
    with Receiver() as receiver, pytest.raises(TimeoutError):
        receiver.next(seconds)


def test_a_time_to_wait_is_a_number() -> None:
    with Receiver() as receiver, pytest.raises(ValueError, match="timeout_seconds is nan"):
        receiver.next(float("nan"))


@pytest.mark.parametrize("body", [b"", b"{]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what JSON has to say, or we
        Received({}, body, "/", datetime.now(UTC)).json()


def test_a_closed_receiver_does_not_listen() -> None:
    with Receiver() as receiver:
        port = httpx.URL(receiver.url).port
    assert port is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_receiver_listens_where_it_is_told() -> None:
    with Receiver(host="::1") as receiver:
        assert receiver.url.startswith("http://[::1]:")
        httpx.post(receiver.url + "x", content=b"1", trust_env=False)
        assert receiver.next(10).path == "/x"
        port = int(receiver.url.rpartition(":")[2].strip("/"))
        with pytest.raises(OSError, match="in use"):
            Receiver(host="::1", port=port)


def test_a_receiver_takes_no_more_connections_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_server, "MAX_REQUESTS", 2)
    with Receiver() as receiver:
        address = ("127.0.0.1", int(receiver.url.rpartition(":")[2].strip("/")))
        silent = [socket.create_connection(address) for _ in range(2)]
        with socket.create_connection(address, timeout=20) as refused:
            refused.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n1")
            with suppress(ConnectionResetError):
                assert refused.recv(100) == b""
        for connection in silent:
            connection.close()


def test_a_receiver_holds_no_more_bytes_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_server, "MAX_HELD_BYTES", 100)
    with Receiver() as receiver:
        assert httpx.post(receiver.url, content=b"1" * 101, trust_env=False).status_code == 503
        assert httpx.post(receiver.url, content=b"1" * 100, trust_env=False).status_code == 200
        assert len(receiver.next(10).body) == 100


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_server._Handler, "timeout", 0.05)
    with Receiver() as receiver:
        address = ("127.0.0.1", int(receiver.url.rpartition(":")[2].strip("/")))
        with socket.create_connection(address, timeout=20) as half:
            half.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
            assert b" 408 " in half.recv(100)


def trickle(connection: socket.socket, seconds: float) -> None:
    """Send a byte now and then, until the other side ends it or the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not select.select([connection], [], [], 0.05)[0]:
        connection.sendall(b"P")


def test_a_head_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never silent for long, and would else keep its place, and all of those like it every place, for ever."""
    monkeypatch.setattr(receiver_server, "HEAD_SECONDS", 0.3)
    began = time.monotonic()
    with Receiver() as receiver:
        address = ("127.0.0.1", int(receiver.url.rpartition(":")[2].strip("/")))
        with socket.create_connection(address, timeout=20) as trickling, suppress(ConnectionError):
            trickle(trickling, 20)
        assert time.monotonic() - began < 10
        assert httpx.post(receiver.url, content=b"1", trust_env=False).status_code == 200


def test_a_body_has_more_time_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_server, "HEAD_SECONDS", 0.1)
    with Receiver() as receiver:
        address = ("127.0.0.1", int(receiver.url.rpartition(":")[2].strip("/")))
        with socket.create_connection(address, timeout=20) as slow:
            slow.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n1")
            with pytest.raises(TimeoutError):
                receiver.next(0.5)
            slow.sendall(b"2")
            assert b" 200 " in slow.recv(100)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_a_header_that_comes_twice_is_not_halved(name: str) -> None:
    headers = [*signed(KEY).items(), (name, "msg_other")]
    with Receiver() as receiver:
        httpx.post(receiver.url, content=BODY, headers=headers)
        received = receiver.next(5)

    assert received.headers[name].endswith(", msg_other")
    with pytest.raises(SignatureInvalid):
        verify(received.headers, received.body, KEY)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tolerance_seconds": math.nan}, "tolerance_seconds is nan: expected a number of seconds from 0 on"),
        ({"tolerance_seconds": -1}, "tolerance_seconds is -1"),
        ({"tolerance_seconds": "5"}, "tolerance_seconds is '5'"),
        ({"tolerance_seconds": None}, "tolerance_seconds is None"),
        ({"now": 5}, "now is 5: expected a datetime with a time zone"),
    ],
)
def test_a_time_of_a_wrong_kind_lets_nothing_through(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        verify({}, b"", KEY, **wrong)


def test_headers_that_are_not_a_mapping_are_refused() -> None:
    with pytest.raises(SignatureInvalid, match="The headers are of type list: a mapping is needed"):
        verify([("webhook-id", "a")], b"", KEY)  # type: ignore[arg-type]


@pytest.mark.parametrize("port", [-1, 65_536, 10**30, "80", 80.5, None, True])
def test_a_port_of_a_wrong_kind_is_a_value_error(port: Any) -> None:
    with pytest.raises(ValueError, match=r"port is .*: expected an integer from 0 to 65535"):
        Receiver(port=port)


def test_a_host_of_a_wrong_kind_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="host is 5: expected a string"):
        Receiver(host=5)  # type: ignore[arg-type]
