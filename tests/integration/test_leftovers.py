"""The whole service: what attempts leave behind, and what they write until the disk is full."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from taskpost import ApiError, Unreachable

from tests.support.service import ServiceProcess, eventually

ESCAPE = Path(__file__).parents[1] / "support" / "escape.py"
FLOOD = "import os, signal\nopen('{path}.ready', 'w')\nwhile True: os.write(1, b'x' * 65536)"


@pytest.fixture
def pids(tmp_path):
    path = tmp_path / "pids"
    yield path
    assert not living(path)


def living(pids):
    return [pid for pid in map(int, pids.read_text().split() if pids.exists() else []) if runs(pid)]


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def types_file(directory, **commands):
    lines = ["task_types:"]
    for name, command in commands.items():
        lines += [f"  {name}:", "    image: acme:1", f"    command: {command!r}", "    input_schema: {type: object}"]
    path = directory / "types.yaml"
    path.write_text("\n".join(lines))
    return path


def shell(script):
    return ["sh", "-c", script]


@pytest.fixture
def service(data_directory, tmp_path, pids):
    left = f"{sys.executable} {ESCAPE} daemon"
    file = types_file(
        tmp_path,
        issue=shell(f"setsid sleep 600 & echo $! > {pids}; touch {pids}.ready; sleep 600"),
        stays=shell(f"{left} stay {pids} & sleep 600"),
        done=shell(f"{left} 0 {pids}"),
        failed=shell(f"{left} 0 {pids}; exit 4"),
        quick=["true"],
    )
    with ServiceProcess(data_directory, concurrency=1, grace_seconds=1, task_types_file=file) as running:
        yield running


def begun(pids):
    eventually(lambda: Path(f"{pids}.ready").exists(), of="the program has left something")


@pytest.mark.parametrize("task_type", ["issue", "stays"])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_a_program_left_ends_with_a_cancellation(service, pids, task_type, restarted):
    with service.client() as client:
        task_id = client.submit(task_type, {}).task.task_id
        begun(pids)
        assert len(living(pids)) == 1
    if restarted:
        assert service.kill() == -signal.SIGKILL
        service.start()
    with service.client() as client:
        client.cancel(task_id)
        other = client.submit("quick", {}).task.task_id  # has the only slot now
        assert client.wait(other, timeout_seconds=30).task_status == "done"
        assert not living(pids)


@pytest.mark.parametrize("task_type", ["done", "failed"])
def test_what_a_program_left_ends_with_it_and_holds_no_slot(service, pids, task_type):
    with service.client() as client:
        task_id = client.submit(task_type, {}).task.task_id
        assert client.wait(task_id, timeout_seconds=30).task_status == task_type
        other = client.submit("quick", {}).task.task_id
        assert client.wait(other, timeout_seconds=30).task_status == "done"
        assert not living(pids)


@pytest.mark.parametrize("task_type", ["stays"])
def test_what_a_program_left_ends_with_its_time(service, pids, task_type):
    with service.client() as client:
        task_id = client.submit(task_type, {}, timeout_seconds=1.5).task.task_id
        ended = client.wait(task_id, timeout_seconds=30)
        assert ended.error.code == "timed_out"
        eventually(lambda: not living(pids), of="nothing is left")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 megabytes, as in the issue."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems can be mounted by root alone")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_output_without_end_neither_fills_the_disk_nor_ends_the_service(small_disk, tmp_path):
    file = types_file(tmp_path, flood=[sys.executable, "-c", FLOOD.format(path=tmp_path / "flood")], quick=["true"])
    with (
        ServiceProcess(small_disk / "data", concurrency=2, grace_seconds=1, task_types_file=file) as service,
        service.client() as client,
    ):
        service.log_path = tmp_path / "log"
        task_id = client.submit("flood", {}, timeout_seconds=6).task.task_id
        begun(tmp_path / "flood")
        free = []
        while (task := client.get(task_id)).task_status in {"queued", "starting", "running"}:
            free.append(psutil.disk_usage(str(small_disk)).free)
            quick = client.submit("quick", {}).task.task_id
            assert client.wait(quick, timeout_seconds=30).task_status == "done"
        assert task.error.code == "timed_out"
        assert min(free) > 20_000_000


def test_the_service_recovers_when_an_attempt_had_filled_the_disk(small_disk, tmp_path):
    """It fills it with a file of its own. Valkey ends, and comes back: what is needed is free when the attempt ends."""
    path = tmp_path / "fill"
    script = f"touch {path}.ready; cat /dev/zero > filler; sleep 4; exit 3"
    file = types_file(tmp_path, fill=[*shell(f"cd $TASKPOST_DIRECTORY && {script}")], quick=["true"])
    with (
        ServiceProcess(small_disk / "data", concurrency=2, grace_seconds=1, task_types_file=file) as service,
        service.client() as client,
    ):
        client.submit("fill", {})
        begun(path)
        eventually(lambda: psutil.disk_usage(str(small_disk)).free == 0, of="the disk is full")
        eventually(lambda: takes_tasks(client), seconds=60, of="the service takes tasks again")


def takes_tasks(client):
    try:
        quick = client.submit("quick", {}).task.task_id
        return client.wait(quick, timeout_seconds=30).task_status == "done"
    except (ApiError, Unreachable):
        return False
