"""Proxies and certificates of the environment: used where they can be, named where they cannot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, task

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = str(Path(sys.executable).with_name("taskpost"))
NAMES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def run(url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if name.upper() not in NAMES}
    return subprocess.run(
        [COMMAND, "get", TASK_ID, "--url", url],
        env=ours | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class SocksProxy:
    """A SOCKS5 proxy that leads every connection to one address, and notes where it should have gone."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.asked: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"socks5://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            connection.recv(100)  # the methods
            connection.sendall(b"\x05\x00")
            request = connection.recv(300)
            length = request[4]
            self.asked.append(request[5 : 5 + length].decode() if request[3] == 3 else socket.inet_ntoa(request[4:8]))
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            with socket.create_connection(self.target) as onward:
                onward.sendall(connection.recv(65536))
                while part := onward.recv(65536):
                    connection.sendall(part)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def socks(service: Service) -> Iterator[SocksProxy]:
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(body=task("done")))
    proxy = SocksProxy(("127.0.0.1", int(service.url.rpartition(":")[2])))
    yield proxy
    proxy.close()


def test_a_socks_proxy_is_used(socks: SocksProxy) -> None:
    told = run("http://tasks.example:8000", ALL_PROXY=socks.url)
    assert (told.returncode, told.stderr) == (0, "")
    assert socks.asked == ["tasks.example"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "socks4://127.0.0.1:1", "nonsense://x", "http://[::1", "::"])
def test_no_proxy_is_needed_on_this_machine(service: Service, proxy: str) -> None:
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(body=task("done")))
    told = run(service.url, ALL_PROXY=proxy)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("proxy", ["socks4://user:hush@127.0.0.1:1", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_named(name: str, proxy: str) -> None:
    told = run("http://tasks.example:8000", **{name: proxy})
    assert told.returncode == 2
    assert name in told.stderr
    assert "socks5://host:port" in told.stderr
    assert "Traceback" not in told.stderr
    assert "hush" not in told.stderr


def test_a_proxy_that_does_not_answer_is_said() -> None:
    told = run("http://tasks.example:8000", ALL_PROXY="socks5://127.0.0.1:1")
    assert told.returncode == 3
    assert "No Taskpost service answers at http://tasks.example:8000" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_host_that_needs_no_proxy_has_none() -> None:
    told = run("http://tasks.invalid:8000", ALL_PROXY="socks4://127.0.0.1:1", NO_PROXY="tasks.invalid")
    assert told.returncode == 3


def test_certificates_that_cannot_be_read_are_named() -> None:
    told = run("https://tasks.example:8000", SSL_CERT_FILE="/no/such/file")
    assert told.returncode == 2
    assert "SSL_CERT_FILE cannot be read" in told.stderr
    assert "Traceback" not in told.stderr
