"""docs/callbacks.md, followed word for word in a fresh environment; only its ports are others, which are free here."""

from __future__ import annotations

import base64
import json
import os
import queue
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from taskpost.signature import verify

from runner.delivery.sign import parse_keys
from tests.support import strangers
from tests.support.pages import ROOT, block_with, blocks, commands
from tests.support.service import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskpost import Client

    from tests.support.fresh import Fresh

PAGE = (ROOT / "docs" / "callbacks.md").read_text(encoding="utf-8")
PORT, SERVICE_PORT = "9000", "8000"
EXAMPLE_ID = "01a2120b-5226-7000-a75d-52adc1504fdf"
ANSWERS = [(503, b""), (410, b"moved away"), (204, b"")]
WAIT_SECONDS = 60.0
COPIES = 12
SILENT = 100
SILENCE_SECONDS = 15.0
"""After this the receivers of the page close a connection."""
FOLLOWED = [
    ("http", "POST /results"), ("json", '"status":"dead"'), ("console", "$ taskpost deliveries"), ("json", "TLS: "),
    ("sh", "openssl rand"), ("python", "def is_genuine"), ("python", "def verified"), ("js", "function verified"),
    ("go", "func Verified"), ("sh", "openssl dgst"), ("python", "def do_POST"), ("sh", "python receiver.py"),
    ("sh", "taskpost submit"), ("js", "createServer"), ("sh", "node receiver.js"),
]  # fmt: skip
"""The blocks of the page in order: those of functions in test_receivers, all others here."""


def test_every_block_is_followed() -> None:
    found = blocks("callbacks")
    assert [block.language for block in found] == [language for language, _ in FOLLOWED]
    assert all(text in block.text for block, (_, text) in zip(found, FOLLOWED, strict=True))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def shell(fresh: Fresh, script: str, directory: Path, served: Client, **more: str) -> str:
    environment = fresh.environment(TASKPOST_URL=served.url, **more)
    command = ["sh", "-euc", script]
    done = subprocess.run(
        command, env=environment, cwd=directory, capture_output=True, text=True, check=False, timeout=WAIT_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Running:
    """A receiver of the page, started by the page's own words in a directory that has its files."""

    def __init__(self, fresh: Fresh, script: str, directory: Path, port: int) -> None:
        self._log = directory / "stderr"
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                ["sh", "-euc", script],
                env=fresh.environment(),
                cwd=directory,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        eventually(lambda: self.listens(port), of=self.log())

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())

    def listens(self, port: int) -> bool:
        assert self._process.poll() is None, self.log()
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", port)) == 0

    def log(self) -> str:
        return self._log.read_text()

    def line(self) -> str:
        return self._lines.get(timeout=WAIT_SECONDS)

    def is_silent(self) -> bool:
        return self._lines.empty()

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def stored_by_python(directory: Path) -> dict[str, bytes]:
    with sqlite3.connect(directory / "callbacks.db") as database:
        return dict(database.execute("SELECT id, body FROM callbacks").fetchall())


def stored_by_node(directory: Path) -> dict[str, bytes]:
    return {path.name.removesuffix(".json"): path.read_bytes() for path in (directory / "callbacks").iterdir()}


RECEIVERS = [
    pytest.param("python receiver.py", {"receiver.py": ("python", "def do_POST")}, stored_by_python, id="python"),
    pytest.param(
        "node receiver.js",
        {"receiver.js": ("js", "createServer"), "signature.js": ("js", "function verified(")},
        stored_by_node,
        id="node",
        marks=pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here"),
    ),
]
GARBAGE = b"\x00\xff garbage\r\n\r\n"
TOO_LONG = 16 * 1024 * 1024 + 1
STRANGE = [
    b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    GARBAGE,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \xb2\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % (b"9" * 5000),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % TOO_LONG,
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
]
SIGNED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s"


def request_with(headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return SIGNED % (len(strangers.BODY), lines.encode("latin-1"), strangers.BODY)


def strange(key: str) -> list[bytes]:
    """Requests of strangers, those with a time that is not one signed as if they had the key."""
    secret = base64.b64decode(key.removeprefix("whsec_"))
    headers = [case.headers for case in strangers.missing()]
    headers += [strangers.headers(time, secret=secret) for time in ("abc", "NaN", "-1", "1e9", "9" * 400, "0")]
    good = strangers.headers(secret=secret)
    twice = {"webhook-timestamp": f"{good['webhook-timestamp']}\r\nwebhook-timestamp: 1"}
    headers += [{**good, "webhook-signature": "v1,ü"}, {**good, **twice, "webhook-id": "msg_other"}]
    return [*STRANGE, *map(request_with, headers)]


def answer_to(request: bytes, port: int) -> int | None:
    """The status of the answer; what is not HTTP/1 may get none."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(request)
        status = re.match(rb"HTTP/1\.[01] (\d{3}) ", connection.recv(65536))
    return None if status is None else int(status[1])


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("start", "files", "stored"), RECEIVERS)
def test_a_whole_receiver(
    start: str, files: dict[str, tuple[str, str]], stored: Any, fresh: Fresh, served: Client, tmp_path: Path
) -> None:
    port = free_port()
    for name, (language, text) in files.items():
        (tmp_path / name).write_text(block_with("callbacks", language, text).replace(PORT, str(port)))
    script = block_with("callbacks", "sh", start)
    key = (fresh.home / ".local/share/taskpost/signing-keys").read_text().strip()
    receiver = Running(fresh, script, tmp_path, port)
    try:
        for request in strange(key):
            assert answer_to(request, port) in {400, 401, 405, 411, 413, 431, 501} or request == GARBAGE, request[:200]
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(SILENT)]
        for connection in silent:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nthe rest never comes")

        began = time.monotonic()
        copy = request_with(strangers.headers(secret=base64.b64decode(key.removeprefix("whsec_"))))
        with ThreadPoolExecutor(COPIES) as threads:
            assert set(threads.map(lambda _: answer_to(copy, port), range(COPIES))) == {200}
        assert time.monotonic() - began < SILENCE_SECONDS
        for connection in silent:
            connection.close()
        printed = Counter(receiver.line() for _ in range(COPIES))
        assert printed == {f"stored {strangers.MESSAGE_ID}": 1, f"repeated {strangers.MESSAGE_ID}": COPIES - 1}

        shell(fresh, block_with("callbacks", "sh", "taskpost submit").replace(PORT, str(port)), tmp_path, served)
        task_id = next(served.list(limit=1)).task_id
        assert receiver.line() == f"stored msg_{task_id}"
        eventually(lambda: served.get(task_id).delivery.status == "delivered")
        (redeliver,) = re.findall(r"again with `(taskpost redeliver TASK)`, and it prints `repeated", PAGE)
        shell(fresh, redeliver.replace("TASK", task_id), tmp_path, served)
        assert receiver.line() == f"repeated msg_{task_id}"

        receiver.stop()
        receiver = Running(fresh, script, tmp_path, port)
        served.redeliver(task_id)
        assert receiver.line() == f"repeated msg_{task_id}"
        bodies = {strangers.MESSAGE_ID: strangers.BODY, f"msg_{task_id}": served.result(task_id).body}
        assert stored(tmp_path) == bodies
        assert "Traceback" not in receiver.log()
        assert "Error" not in receiver.log()
    finally:
        receiver.stop()


def test_the_callback_of_the_page_is_signed_with_its_key(tmp_path: Path) -> None:
    head, _, body = block_with("callbacks", "http", "POST /results").partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    (told,) = re.findall(r"With the key `(whsec_\S+)` it prints `(v1,\S+)` for the callback above", PAGE)
    assert told[1] == headers["webhook-signature"]
    assert int(headers["content-length"]) == len(body.strip())
    verify(headers, body.strip().encode(), told[0], tolerance_seconds=float("inf"))

    (tmp_path / "body.json").write_text(body.strip())
    names = {name.replace("-", "_"): value for name, value in headers.items() if name.startswith("webhook-")}
    script = block_with("callbacks", "sh", "openssl dgst")
    environment = {"PATH": os.environ["PATH"], "key": told[0], **names}
    shown = subprocess.run(["sh", "-euc", script], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert (shown.stdout.decode().strip(), shown.returncode) == (told[1], 1)


def test_a_key_can_be_made_as_the_page_says(fresh: Fresh, served: Client, tmp_path: Path) -> None:
    made = shell(fresh, block_with("callbacks", "sh", "openssl rand"), tmp_path, served)
    assert len(parse_keys([made])[0]) == 32


@contextmanager
def answering(answers: list[tuple[int, bytes]], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A receiver that gives these answers to each callback in turn; its `host:port`."""
    left: dict[str, Iterator[tuple[int, bytes]]] = defaultdict(lambda: iter(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = next(left[self.headers["webhook-id"]])
            self.send_response(status)
            if body:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def general(text: str) -> str:
    """Replace what differs from one run to the next."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{3}Z|[+-]\d\d:\d\d)?", "TIME", text)
    text = re.sub(r" +(\d+[smhd])+\b", " AGE", text)
    return re.sub(r'( +(?=\d+\.)|"duration_seconds":)\d+(\.\d+)?\b', "SECONDS", text)


def dead_callback(served: Client, address: str) -> str:
    """A task whose runner made the first attempt in its second, which a busy machine may not allow it."""
    for _ in range(5):
        task_id = served.run("sleep", {"seconds": 0}, result_url=f"http://{address}/").task_id
        eventually(lambda task_id=task_id: served.get(task_id).delivery.status == "dead")
        if [made.by for made in served.deliveries(task_id).tries] == ["runner", "service"]:
            return task_id
        served.redeliver(task_id)
        eventually(lambda task_id=task_id: served.get(task_id).delivery.status == "delivered")
    raise AssertionError("no runner could make an attempt")


def test_the_tries_of_a_callback_are_shown_as_the_page_says(fresh: Fresh, served: Client, tmp_path: Path) -> None:
    with answering(ANSWERS) as address:
        task_id = dead_callback(served, address)
        shown = json.dumps(served.deliveries(task_id).raw, separators=(",", ":"))
        assert general(shown) == general(block_with("callbacks", "json", '"status":"dead"').strip())
        story = commands("callbacks", "### Fair shares")
        assert len(story) == 3
        for command in story:
            line = command.line.replace(EXAMPLE_ID, task_id).replace(f"127.0.0.1:{PORT}", address)
            line = line.replace(f"http://127.0.0.1:{SERVICE_PORT}", served.url)
            printed = shell(fresh, line, tmp_path, served)
            assert general(printed).strip() == general(command.output).strip()
            if "redeliver" in line:
                eventually(lambda: served.get(task_id).delivery.status == "delivered")


def test_a_certificate_that_nobody_knows_is_told_as_the_page_says(served: Client) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with answering([], context) as address:
        task_id = served.run("sleep", {"seconds": 0}, result_url=f"https://{address}/").task_id
        delivery = eventually(lambda: (found := served.get(task_id)).delivery.attempts and found.raw["delivery"])
        shown = json.dumps(delivery, separators=(",", ":"))
        assert general(shown) == general(block_with("callbacks", "json", "TLS: ").strip())
