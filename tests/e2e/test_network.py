"""The way to the API server falls silent: no reset, no answer."""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager

import pytest

SILENCE_SECONDS = 45
NOTICED_SECONDS = 60


@pytest.fixture(scope="module")
def values():
    return {"settings": {"concurrency": 1}}


@contextmanager
def silence(addresses):
    """Drop what the pods of these addresses send to the API server. Only our own node can do so."""
    rules = [["INPUT", "-s", address, "-p", "tcp", "--dport", "6443", "-j", "DROP"] for address in addresses]
    try:
        for rule in rules:
            subprocess.run(["iptables", "--insert", *rule], check=True, timeout=10)
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "--delete", *rule], check=True, timeout=10)


def test_an_end_in_a_silence_is_noticed_soon_after_it(release):
    if not release.on_our_node():
        pytest.skip("the network of this cluster cannot be cut from here")
    addresses = [pod["status"]["podIP"] for pod in release.pods("service")]
    first, second = (release.submit("sleep", {"seconds": 10}) for _ in range(2))
    release.running(first)
    with silence(addresses):
        threading.Event().wait(SILENCE_SECONDS)  # its length is what is tested
        assert release.task(first)["task_status"] == "done"
        assert release.task(second)["task_status"] == "queued"
    release.running(second, NOTICED_SECONDS)
    assert release.ended(second)["attempt"] == 1
