from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from taskpost import Client, transport, waiting
from taskpost.cli.main import taskpost

from tests.unit.client.scripted_service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture
def dead_url() -> str:
    """A URL where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def run(service: Service) -> Callable[..., Result]:
    """Run the command line against the scripted service, within this process."""

    def run(*arguments: str, stdin: str | bytes | None = None, url: str | None = None) -> Result:
        variables = {"TASKPOST_URL": url or service.url}
        return CliRunner().invoke(taskpost, arguments, input=stdin, env=variables, prog_name="taskpost")

    return run


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE_SECONDS", 0)
    monkeypatch.setattr(waiting, "FIRST_INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "LONGEST_INTERVAL_SECONDS", 0.002)
    monkeypatch.delenv("TASKPOST_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
