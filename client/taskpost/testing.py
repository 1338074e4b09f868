"""A pytest fixture for those who write task types: `taskpost_service`, a service with an embedded Valkey.

Its settings are in pytest's: `taskpost_task_types_file`, `taskpost_task_path` and `taskpost_task_modules`, by the names
that the service has for them. It needs the service: `pip install 'taskpost-service[service]'`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from taskpost.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskpost.models import Result

SETTINGS: Final = {
    "taskpost_task_types_file": "YAML file of task types for the fixture taskpost_service, from pytest's rootdir",
    "taskpost_task_path": "Directories that their modules are looked for in, from pytest's rootdir",
    "taskpost_task_modules": "Python modules that register task types",
}
STOP_SECONDS: Final = 30
COMMAND_LINE: Final = "from taskpost.cli.main import main; main()"


@dataclass(frozen=True)
class TaskpostService:
    """A service that runs: where it is, and a client of it."""

    url: str
    client: Client

    def run(self, task_type: str, task_input: Any = None, timeout_seconds: float = 60) -> Result:  # noqa: ANN401 - JSON
        """Submit a task, wait for its end, and return how it ended: unlike `Client.run`, a failure too.

        Raises:
            WaitTimeout: the task has not ended in time.
            InvalidTask: the service refuses the task.
        """
        task_id = self.client.submit(task_type, task_input).task.task_id
        self.client.wait(task_id, timeout_seconds=timeout_seconds)
        return self.client.result(task_id)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of the fixture."""
    for name, text in SETTINGS.items():
        parser.addini(name, text)


def _check(task_types_file: str, environment: Mapping[str, str]) -> None:
    """Refuse a file with faults. A service only leaves out the types that have one."""
    command = [sys.executable, "-P", "-c", COMMAND_LINE, "types", "check", task_types_file]
    checked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if checked.returncode:
        raise RuntimeError(checked.stderr.strip())


@pytest.fixture(scope="session")
def taskpost_service(request: pytest.FixtureRequest) -> Iterator[TaskpostService]:
    """A service for the tests of a session, on a free port, its data in a directory that is removed afterwards."""
    given = {name.removeprefix("taskpost_"): str(request.config.getini(name)) for name in SETTINGS}
    for name in ("task_types_file", "task_path"):
        parts = filter(None, given[name].split(os.pathsep))
        given[name] = os.pathsep.join(str(request.config.rootpath / part) for part in parts)
    with tempfile.TemporaryDirectory(prefix="taskpost-") as directory:
        settings = {"bind": "127.0.0.1:0", "data_dir": str(Path(directory) / "data")} | given
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}
        environment |= {f"TASKPOST_{name.upper()}": value for name, value in settings.items() if value}
        if given["task_types_file"]:
            _check(given["task_types_file"], environment)
        command = [sys.executable, "-P", "-m", "api"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:  # noqa: S603 - ours
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            line = process.stdout.readline()
            if not line.startswith("Taskpost listens on "):
                raise RuntimeError(
                    "the service did not start: what it said is on stderr. If it is not installed: "
                    "pip install 'taskpost-service[service]'"
                )
            url = line.split()[3].rstrip(",")
            try:
                with Client(url) as client:
                    yield TaskpostService(url, client)
            finally:
                process.terminate()
                process.communicate(timeout=STOP_SECONDS)
