"""One client holds on to all it can get; others are served, and memory stays below that of the pod."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.raw import LIVE, connection, post
from tests.support.service import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.alone
DESCRIPTORS = 1024
MEMORY_BYTES = 512 * 1024 * 1024
SECONDS = 20.0


@pytest.fixture
def limited(data_directory: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(data_directory, descriptors=(DESCRIPTORS, DESCRIPTORS), concurrency=2) as service:
        yield service


@pytest.fixture
def flood(limited: ServiceProcess) -> Iterator[subprocess.Popen[bytes]]:
    address = urlsplit(limited.url)
    command = [sys.executable, "-m", "tests.support.flood", str(address.hostname), str(address.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def peak_memory(pid: int) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def test_others_are_served_while_one_client_holds_on_to_all(
    limited: ServiceProcess, flood: subprocess.Popen[bytes]
) -> None:
    pid, slowest, statuses = limited.process.pid, 0.0, set()
    most = 0
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        async with connection(limited.url) as client:
            for sent in (LIVE, post(), LIVE):
                began = time.monotonic()
                await client.send(sent)
                statuses.add((await client.answer()).status)
                slowest = max(slowest, time.monotonic() - began)
        most = max(most, descriptors(pid))
        await asyncio.sleep(0.1)
    assert flood.poll() is None
    assert statuses == {200, 202}
    assert most > DESCRIPTORS // 3, "the flood was none"
    assert most < DESCRIPTORS
    assert slowest < 1
    assert peak_memory(pid) < MEMORY_BYTES
    assert "Traceback" not in limited.log()
    assert len(limited.log()) < 100_000
