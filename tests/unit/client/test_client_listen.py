"""`taskpost listen`: what it prints of callbacks and of everything else that arrives, and what it answers."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from taskpost.cli.main import taskpost

from runner.delivery.sign import parse_keys, signature_headers
from tests.unit.client.scripted_service import TASK_ID, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KEY = f"whsec_{base64.b64encode(bytes(32)).decode()}"
NEXT_KEY = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
COMMAND = str(Path(sys.executable).with_name("taskpost"))
BODY = outcome(result={"value": "größer\x1b[1m"})


def signed(body: bytes = BODY, key: str = KEY, delivery_id: str = "msg_1", seconds_ago: int = 0) -> dict[str, str]:
    return signature_headers(parse_keys([key]), delivery_id, int(time.time()) - seconds_ago, body)


class Listening:
    """A `taskpost listen` that runs."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.port = int(url.rpartition(":")[2].strip("/"))

    def post(self, headers: dict[str, str], body: bytes = BODY, path: str = "/results") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def ended(self) -> tuple[int, list[str], str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out.splitlines(), err


@contextmanager
def listening(*options: str, **variables: str) -> Iterator[Listening]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")} | variables
    command: Sequence[str] = [COMMAND, "listen", "--bind", "127.0.0.1:0", *options]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        found = re.search(r"Listening on (http\S+),", first)
        assert found is not None, first + process.stderr.read()
        yield Listening(process, found[1])
    finally:
        process.kill()
        process.communicate()


def test_a_callback_is_printed_with_its_verdict() -> None:
    with listening("--key", KEY, "--count", "2") as here:
        assert here.post(signed()) == 204
        assert here.post(signed()) == 204
        code, lines, err = here.ended()

    assert (code, err) == (0, "")
    assert lines[0].endswith(f"  fibonacci {TASK_ID} done, signature valid")
    assert json.loads("".join(lines[1 : lines.index("}") + 1]))["result"]["value"] == "größer\x1b[1m"
    assert not any("\x1b" in line for line in lines)
    assert sum("a repeat of msg_1" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        (dict, BODY, "The header webhook-id is missing"),
        (lambda: signed(key=NEXT_KEY), BODY, "No signature in webhook-signature fits"),
        (signed, BODY + b" ", "No signature in webhook-signature fits"),
        (lambda: signed(seconds_ago=4000), BODY, "s old"),
        (lambda: signed() | {"webhook-timestamp": "abc"}, BODY, "'abc', not a Unix time"),
        (dict, b"", "The header webhook-id is missing"),
        (dict, b"\xff\x00<html>\x1b[2J" * 1000, "The header webhook-id is missing"),
        (dict, b"[" * 200_000, "The header webhook-id is missing"),
    ],
)
def test_what_is_not_signed_right_is_refused_and_shown(
    headers: Callable[[], dict[str, str]], body: bytes, words: str
) -> None:
    """The headers are made when the test runs: made when it is collected, they are old at the end of a long run."""
    with listening("--key", KEY, "--count", "1") as here:
        assert here.post(headers(), body) == 400
        code, lines, err = here.ended()

    assert (code, err) == (1, "")
    assert f"signature invalid ({words}" in lines[0] or words in lines[0]
    assert all(line.isprintable() for line in lines)
    assert sum(map(len, lines)) < 6000


def test_json_is_a_line_for_each_callback() -> None:
    with listening("--key", KEY, "--count", "2", "--json") as here:
        here.post(signed(), path="/a")
        here.post({}, b"<html>")
        code, lines, _ = here.ended()

    first, second = map(json.loads, lines)
    assert code == 1
    assert (first["path"], first["webhook_id"], first["signature"]) == ("/a", "msg_1", "valid")
    assert first["body"] == json.loads(BODY)
    assert (second["signature"], second["body"], second["repeat"]) == ("invalid", None, False)


def test_keys_of_a_file_are_read_at_each_callback(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    with listening("--key-file", str(keys), "--count", "3") as here:
        assert here.post(signed()) == 204
        assert here.post(signed(key=NEXT_KEY)) == 400
        keys.write_text(f"{KEY}\n{NEXT_KEY}\n")
        assert here.post(signed(key=NEXT_KEY)) == 204


def test_keys_stay_in_force_while_their_file_has_none(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    with listening("--key-file", str(keys), "--count", "3") as here:
        for change in (keys.unlink, lambda: keys.write_text(""), lambda: keys.write_bytes(b"\xff")):
            change()
            assert here.post(signed()) == 204
        assert here.ended()[0] == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")
def test_keys_of_a_pipe_are_read_once(tmp_path: Path) -> None:
    """As in `taskpost listen --key-file <(taskpost signing-key)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(KEY,))
    writer.start()
    with listening("--key-file", str(pipe), "--count", "2") as here:
        writer.join()
        assert [here.post(signed()), here.post(signed(key=NEXT_KEY))] == [204, 400]


def test_the_key_is_that_of_the_service_with_the_same_settings(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    for variables in ({"TASKPOST_SIGNING_KEYS": KEY}, {"TASKPOST_SIGNING_KEYS_FILE": str(keys)}):
        with listening("--count", "1", **variables) as here:
            assert here.post(signed()) == 204
            assert here.ended()[0] == 0


def test_another_status_is_answered_whatever_the_signature() -> None:
    with listening("--key", KEY, "--status", "503", "--count", "2") as here:
        assert here.post(signed()) == 503
        assert here.post({}) == 503


def test_without_a_key_nothing_is_refused() -> None:
    variables = {"TASKPOST_REDIS_URL": "redis://127.0.0.1:1"}
    with listening("--count", "1", **variables) as here:
        assert here.post(signed()) == 204
        code, lines, _ = here.ended()
    assert code == 0
    assert "signature unchecked (no key is known: give --key or --key-file)" in lines[0]


def test_ctrl_c_is_its_ordinary_end() -> None:
    with listening("--key", KEY) as here:
        here.post(signed())
        here.process.send_signal(signal.SIGINT)
        code, lines, err = here.ended()
    assert code == 0
    assert lines
    assert "Traceback" not in err


def test_its_time_is_over() -> None:
    with listening("--key", KEY, "--timeout", "50ms") as here:
        code, _, err = here.ended()
    assert code == 5
    assert "The time is over" in err


def raw(port: int, request: bytes) -> bytes:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return connection.recv(200)


@pytest.mark.parametrize(
    ("length", "status"),
    [(b"", b"411"), (b"-1", b"411"), (b"abc", b"411"), (b"9" * 30, b"411"), (b"999999999", b"413"), (b"+5", b"411")],
)
def test_a_body_without_a_right_length_is_refused(length: bytes, status: bytes) -> None:
    header = b"Content-Length: " + length + b"\r\n" if length else b""
    with listening("--key", KEY, "--count", "1") as here:
        assert b" " + status + b" " in raw(here.port, b"POST / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n")
        assert here.post(signed()) == 204
        assert here.ended()[2] == ""


def test_a_silent_client_delays_nobody() -> None:
    import socket

    with listening("--key", KEY, "--count", "1") as here:
        silent = [socket.create_connection(("127.0.0.1", here.port)) for _ in range(20)]
        for connection in silent:
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        assert here.post(signed()) == 204
        assert here.ended()[0] == 0
        for connection in silent:
            connection.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bind", "9000"), "is not host:port"),
        (("--bind", "127.0.0.1:99999"), "is not host:port"),
        (("--bind", "192.0.2.1:9000"), "Cannot listen on 192.0.2.1:9000"),
        (("--bind", "no-such-host.invalid:0"), "Cannot listen on no-such-host.invalid:0"),
        (("--bind", "\udcff:0"), "Cannot listen on"),
        (("--bind", f"{'a' * 300}:0"), "Cannot listen on"),
        (("--key", "hush"), "a key looks like whsec_<base64>"),
        (("--key-file", "/no/such"), "cannot be read"),
        (("--key", KEY, "--key-file", "/no/such"), "Give --key or --key-file"),
    ],
)
def test_what_stops_it_is_said(options: tuple[str, ...], words: str) -> None:
    told = CliRunner().invoke(taskpost, ["listen", *options], prog_name="taskpost")
    assert told.exit_code in {1, 2}
    assert words in told.stderr
    assert "hush" not in told.stderr


def test_many_at_once_are_all_printed() -> None:
    answers: list[Any] = []
    with listening("--key", KEY, "--count", "40", "--json") as here:
        threads = [
            threading.Thread(
                target=lambda number: answers.append(here.post(signed(delivery_id=f"msg_{number}"))), args=(number,)
            )
            for number in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code, lines, _ = here.ended()
    assert (code, set(answers)) == (0, {204})
    assert len({json.loads(line)["webhook_id"] for line in lines}) == 40
