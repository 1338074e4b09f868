from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from taskpost import Client

from tests.support.fresh import Fresh, build_wheels, install

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Our two wheels, by the names of their distributions."""
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def fresh(wheels: dict[str, Path]) -> Iterator[Fresh]:
    """An environment in which only the service was installed, from wheels. Its home has a short path, for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="tp-"))
    yield install(wheels["taskpost-service"].parent, directory, "taskpost-service[service]")
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def served(fresh: Fresh) -> Iterator[Client]:
    """`taskpost serve` in the fresh environment, with its data where it is by default."""
    settings = {"TASKPOST_BIND": "127.0.0.1:0", "TASKPOST_CALLBACK_RETRY_SECONDS": "3,3600"}
    environment = fresh.environment(**settings)
    command = [fresh.bin / "taskpost", "serve"]
    with subprocess.Popen(command, env=environment, cwd=fresh.home, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().decode().split()[3].rstrip(",")
            with Client(url) as client:
                yield client
        finally:
            process.terminate()
            process.communicate(timeout=30)
