"""Fixtures of the tests that run the whole service: a data directory, a gate for tasks, a receiver."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from taskpost.receiver import Receiver

from api.embedded import valkey
from api.embedded.directory import DataDirectory
from tests.support.embedded import Events
from tests.support.service import ServiceProcess, eventually, runners_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """A directory for one service; what still runs on it after the test is a fault of its own."""
    directory = Path(tempfile.mkdtemp(prefix="tp-data-"))
    yield directory
    left = runners_of(directory)
    for process in left:
        process.kill()
    shutil.rmtree(directory, ignore_errors=True)
    directory.with_name(directory.name + ".log").unlink(missing_ok=True)
    assert not left, f"left behind: {left}"


@pytest.fixture
def service(data_directory: Path) -> Iterator[ServiceProcess]:
    """A service with an embedded Valkey, two slots and short pauses between delivery tries."""
    with ServiceProcess(
        data_directory, concurrency=2, callback_retry_seconds="0.2,0.3,0.5,1,1,1,1", grace_seconds=2
    ) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


class GateDirectory:
    """Where tasks of the type `gate` say that they have begun, and wait to be let through."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        os.mkfifo(path / "gate")

    def another(self) -> GateDirectory:
        """A gate for another task: one that two wait at lets through both or one, as it happens."""
        return GateDirectory(self.path.with_name(self.path.name + "-next"))

    @property
    def task_input(self) -> dict[str, str]:
        return {"directory": str(self.path)}

    def begun(self, attempt: int = 1) -> int:
        """Wait for an attempt to begin; return its process id."""
        marker = self.path / f"begun-{attempt}"
        return int(eventually(lambda: marker.exists() and marker.read_text(), of=f"attempt {attempt} begun"))

    def open(self) -> None:
        """Let the task that waits go on; waits for one."""
        (self.path / "gate").write_bytes(b"")


@pytest.fixture
def gate(tmp_path: Path) -> GateDirectory:
    return GateDirectory(tmp_path / "gate")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDirectory]:
    with DataDirectory(tmp_path / "data") as data:
        yield data


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Iterator[Events]:
    events = Events()
    caplog.set_level(logging.INFO, logger=valkey.logger.name)
    valkey.logger.addHandler(events)
    yield events
    valkey.logger.removeHandler(events)
