"""Where benchmarks run: a directory that leaves nothing behind, and a service whose only slot is taken."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.service import ServiceProcess, eventually, runners_of

if TYPE_CHECKING:
    from collections.abc import Iterator

UNLIMITED = 10_000_000


@contextmanager
def own_directory() -> Iterator[Path]:
    """A directory of our own; what is left in it, processes and files, is ended and removed."""
    directory = Path(tempfile.mkdtemp(prefix="tp-bench-", dir="/tmp"))
    try:
        yield directory
    finally:
        for process in runners_of(directory):
            process.kill()
        shutil.rmtree(directory, ignore_errors=True)


def embedded_url(directory: Path) -> str:
    """The address of the Valkey of a service that has its data in `directory / "data"`."""
    return f"unix://{directory / 'data' / 'valkey' / 'valkey.sock'}"


@contextmanager
def waiting_service(directory: Path) -> Iterator[ServiceProcess]:
    """A service of one slot that is taken by a task which waits for ever: all else that is submitted stays queued."""
    (directory / "gate").mkdir()
    os.mkfifo(directory / "gate" / "gate")
    with ServiceProcess(directory / "data", concurrency=1, queue_max_length=UNLIMITED, grace_seconds=2) as service:
        with service.client() as client:
            client.submit("gate", {"directory": str(directory / "gate")})
        eventually((directory / "gate" / "begun-1").exists, of="the slot is taken")
        yield service
