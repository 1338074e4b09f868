"""The runner beside a program, as a process, with a real Redis; what its program would do, these tests do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from api.core.task import Reason
from api.queue.conclude import complete
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Submission
from runner.connect import connect_async
from runner.contract import EXIT_OK, EXIT_REFUSED, EXIT_TERMINATED, EXIT_UNREACHABLE, EXIT_USAGE, SIDECAR_PORT, State
from tests.support.wait import until

# The gate's port is the same in every pod, so two of these tests at a time would meet at it.
pytestmark = pytest.mark.alone

LIMITS = QueueLimits(100, 10_000)


@pytest.fixture
async def claim(queue):
    await queue.submit(Submission("thumbnail", '{"width": 64}', None, 0, 60_000), LIMITS)
    return await queue.claim(10, {"thumbnail": None})


@pytest.fixture
def start(tmp_path, valkey_url, instance, claim):
    """Starts runners beside a program; what still runs afterwards is killed."""
    started = []

    def begin(**more):
        given = {
            "REDIS_URL": valkey_url,
            "INSTANCE": instance,
            "TASK_ID": claim.attempt_id.task_id,
            "ATTEMPT": str(claim.attempt_id.attempt),
            "TOKEN": claim.token,
            "HOLDER": "pod-1",
            "DIRECTORY": str(tmp_path),
        } | more
        environment = os.environ | {f"TASKPOST_{name}": value for name, value in given.items() if value}
        command = [sys.executable, "-P", "-m", "runner", "sidecar"]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


async def begun(start, tmp_path, **more):
    """Start one, and wait until it waits for its end: its threads begin when it has blocked the signal."""
    runner = start(**more)
    await until(lambda: (tmp_path / "input.json").exists() and psutil.Process(runner.pid).num_threads() > 1)
    return runner


def catches_sigterm(process):
    """Whether it has taken SIGTERM into its own hands: the kernel says so."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = (line for line in text.splitlines() if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1


async def end(process, *, ask=True):
    """Wait for its end, which is asked for as the kubelet does; return its exit code and what it said."""
    if ask:
        process.send_signal(signal.SIGTERM)
    _, said = await asyncio.to_thread(process.communicate, timeout=30)
    return process.returncode, said


async def task_of(queue, claim):
    return (await queue.read(claim.attempt_id.task_id))[0]


def listens():
    with suppress(OSError), socket.create_connection(("127.0.0.1", SIDECAR_PORT), timeout=1):
        return True
    return False


async def test_the_input_is_there_before_the_gate_is_open(queue, claim, start, tmp_path):
    runner = start()
    await until(listens)
    assert json.loads((tmp_path / "input.json").read_bytes()) == {"width": 64}
    task = await task_of(queue, claim)
    assert (task.state, task.held) == (State.STARTING, True), "that its program runs, the service sees"
    assert (await end(runner))[0] == EXIT_OK


async def test_progress_is_told_and_the_result_handed_over_at_the_end(queue, claim, start, tmp_path):
    runner = await begun(start, tmp_path)
    (tmp_path / "progress").write_text("12.5 resizing")
    await until(lambda: percent_of(queue, claim, 125))
    assert await queue.begin(claim.attempt_id)
    assert not await queue.begin(claim.attempt_id)
    (tmp_path / "progress").write_text("90 nearly done")
    (tmp_path / "result.json").write_text('{"size": 7}')
    assert (await end(runner))[0] == EXIT_OK
    task = await task_of(queue, claim)
    assert (task.state, task.percent_tenths, task.message) == (State.RUNNING, 900, "nearly done")
    assert task.staged.error is None
    assert await queue.read_staged(task.task_id) == b'{"size":7}'


async def test_what_is_no_result_is_handed_over_as_such(queue, claim, start, tmp_path):
    runner = await begun(start, tmp_path)
    (tmp_path / "result.json").write_text("[")
    assert (await end(runner))[0] == EXIT_OK
    assert (await task_of(queue, claim)).staged.error.code == "result_invalid"


async def test_one_that_is_started_again_goes_on_with_the_same_input(queue, claim, start, tmp_path):
    first = await begun(start, tmp_path)
    first.kill()
    first.wait(10)
    (tmp_path / "input.json").chmod(0o644)
    (tmp_path / "input.json").write_text("as the program has it")
    second = await begun(start, tmp_path)
    (tmp_path / "progress").write_text("50")
    await until(lambda: percent_of(queue, claim, 500))
    assert (await end(second))[0] == EXIT_OK
    assert (tmp_path / "input.json").read_text() == "as the program has it"
    assert await queue.read_staged(claim.attempt_id.task_id) == b"null"


async def test_what_one_handed_over_before_it_was_started_again_does_not_count(queue, claim, start, tmp_path):
    (tmp_path / "result.json").write_text("1")
    await end(await begun(start, tmp_path))
    assert (await task_of(queue, claim)).staged is not None
    second = await begun(start, tmp_path)
    assert (await task_of(queue, claim)).staged is None
    (tmp_path / "result.json").write_text("2")
    await end(second)
    assert await queue.read_staged(claim.attempt_id.task_id) == b"2"


async def test_another_pod_waits_until_its_predecessor_is_seen_to_be_gone(queue, claim, start, tmp_path):
    """A Job was suspended and released before the service saw it: the new pod may be there first."""
    first = await begun(start, tmp_path)
    second = start(HOLDER="pod-2")
    first.kill()
    await asyncio.to_thread(first.wait)
    (tmp_path / "input.json").unlink()
    assert not listens()
    await queue.suspend(claim.attempt_id, Reason("suspended", "released already"), released=True)
    await until(listens)
    assert (await task_of(queue, claim)).holder == "pod-2"
    assert (await end(second))[0] == EXIT_OK


async def test_the_runner_of_an_attempt_that_is_over_hands_nothing_over(queue, claim, start, tmp_path):
    runner = await begun(start, tmp_path)
    await queue.requeue(claim.attempt_id, Reason("attempt_lost", "gone"), counts_as_loss=True)
    code, _ = await end(runner)
    assert code == EXIT_REFUSED
    assert await queue.read_staged(claim.attempt_id.task_id) is None


async def test_what_was_handed_over_goes_with_its_attempt(queue, claim, start, tmp_path):
    assert (await end(await begun(start, tmp_path)))[0] == EXIT_OK
    await queue.suspend(claim.attempt_id, Reason("suspended", "by Kueue"), released=False)
    task = await task_of(queue, claim)
    assert (task.staged, task.held) == (None, False)
    assert (await end(await begun(start, tmp_path, HOLDER="pod-2")))[0] == EXIT_OK
    await queue.requeue(claim.attempt_id, Reason("attempt_lost", "gone"), counts_as_loss=True)
    assert (await task_of(queue, claim)).staged is None
    assert await queue.read_staged(task.task_id) is None


async def test_a_program_that_is_done_is_done(queue, claim, start, tmp_path):
    runner = await begun(start, tmp_path)
    (tmp_path / "result.json").write_text("[1]")
    await end(runner)
    assert not await complete(queue, await task_of(queue, claim)), "a task that has not begun cannot be done"
    await queue.begin(claim.attempt_id)
    assert await complete(queue, await task_of(queue, claim))
    task = await task_of(queue, claim)
    assert (task.state, task.percent_tenths, task.staged) == (State.DONE, 1000, None)
    assert json.loads((await queue.read_body(task.task_id)).body)["result"] == [1]
    assert not await complete(queue, task)


async def test_a_wrong_environment_is_said(start, tmp_path):
    assert (await end(start(TOKEN=""), ask=False))[0] == EXIT_USAGE
    code, said = await end(start(DIRECTORY=str(tmp_path / "none")), ask=False)
    assert (code, "directory of the task cannot be used" in said) == (EXIT_USAGE, True)


async def test_one_that_waits_for_redis_can_be_ended(start):
    runner = start(REDIS_URL="redis://127.0.0.1:1")
    await until(lambda: catches_sigterm(runner))
    # When coverage is measured it catches the signal before the runner does.
    assert (await end(runner))[0] in {EXIT_TERMINATED, -signal.SIGTERM}


async def test_without_redis_it_gives_up_when_its_grace_is_over(start, tmp_path, own_valkey):
    client = connect_async(own_valkey.url)
    queue = Queue(client, "default")
    await queue.submit(Submission("thumbnail", "{}", None, 0, 60_000), LIMITS)
    claim = await queue.claim(10, {"thumbnail": None})
    await client.aclose()
    own = {"REDIS_URL": own_valkey.url, "INSTANCE": "default", "TOKEN": claim.token, "RESULT_GRACE_SECONDS": "0.5"}
    runner = await begun(start, tmp_path, **own, TASK_ID=claim.attempt_id.task_id)
    own_valkey.kill()
    code, said = await end(runner)
    assert (code, "Redis does not answer" in said) == (EXIT_UNREACHABLE, True)


async def percent_of(queue, claim, tenths):
    return (await task_of(queue, claim)).percent_tenths == tenths
