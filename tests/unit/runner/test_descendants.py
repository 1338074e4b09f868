"""What a process has started, on kernels with and without the newer ways to find and signal it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runner import descendants
from tests.support.service import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def refuse(_pid, _flags=0):
    raise OSError(errno.ENOSYS, "no such call")


@pytest.fixture(params=["handles", "no handles", "no such call", "no lists of children"])
def kernel(request, monkeypatch):
    if request.param == "no handles":
        monkeypatch.delattr(os, "pidfd_open")
    if request.param == "no such call":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    if request.param == "no lists of children":
        exists = Path.exists
        monkeypatch.setattr(Path, "exists", lambda path: path.name != "children" and exists(path))


@pytest.fixture
def parent():
    """A process with a child in another session, which has a child."""
    script = "setsid sh -c 'sleep 600 & echo $!; wait' & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        grandchild = psutil.Process(int(process.stdout.readline()))
        yield process, grandchild
        grandchild.kill() if grandchild.is_running() else None
        process.kill()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("end", [descendants.kill_descendants, lambda pid: descendants.signal_descendants(pid, 15)])
def test_all_descendants_are_found_and_signalled_and_the_root_is_not(parent, end):
    process, grandchild = parent
    end(process.pid)
    assert process.wait(10) == 0  # it has waited for its child
    eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.usefixtures("kernel")
def test_a_process_with_another_parent_is_a_stranger(parent):
    process, grandchild = parent
    descendants._signal(grandchild.pid, process.pid, signal.SIGKILL)
    assert grandchild.is_running()


def test_of_a_process_that_is_over_nothing_is_found():
    with subprocess.Popen(["true"]) as process:
        pass
    descendants.kill_descendants(process.pid)
    descendants._signal(process.pid, os.getpid(), signal.SIGKILL)
