"""Real runners of tasks that fork, misbehave and spoil their interpreter: each ends as an outcome of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time

import pytest

from api.embedded.environment import base_environment
from api.queue.shapes import QueueLimits, Submission
from runner.contract import EXIT_OK, State
from tests.support import registered
from tests.support.forking_types import CODES, FAULTS, MISCHIEF
from tests.support.hostile import EXCEPTIONS, READABLE, VALUES

registered.forget(of="tests.support.forking_types")  # It is imported for its words: its types are for runners.
LIMITS = QueueLimits(100, 10_000)
OUR_NAMES = ("function.py", "execute.py", "result.py", "texts.py", "Traceback", 'File "')


@pytest.fixture
def run(queue, valkey_url, instance):
    """Runs a task in a runner of its own; gives the runner's exit code, what it wrote, the task and its result."""

    async def run_to_end(task_type, name, directory="", output=asyncio.subprocess.PIPE):
        task_input = json.dumps({"name": name, "directory": str(directory)})
        submission = Submission(task_type, task_input, "http://127.0.0.1:1/", 0, 60_000)
        await queue.submit(submission, LIMITS)
        claim = await queue.claim(10, {task_type: None})
        environment = {
            "REDIS_URL": valkey_url,
            "INSTANCE": instance,
            "TASK_ID": claim.attempt_id.task_id,
            "ATTEMPT": str(claim.attempt_id.attempt),
            "TOKEN": claim.token,
            "TASK_MODULES": "tests.support.forking_types",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runner"),
            env=base_environment(os.environ) | {f"TASKPOST_{key}": value for key, value in environment.items()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            written, _ = await asyncio.wait_for(process.communicate(), 100)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        task, _ = await queue.read(claim.attempt_id.task_id)
        stored = await queue.read_body(task.task_id)
        return process.returncode, written, task, stored.body and json.loads(stored.body)

    return run_to_end


def assert_failed(ran, code, message):
    exit_code, _, task, body = ran
    assert (exit_code, task.state, task.error.code) == (EXIT_OK, State.FAILED, code)
    assert task.error.message.startswith(message) or message in task.error.message
    assert len(task.error.message) <= 2000
    assert not any(name in body["error"]["message"] for name in OUR_NAMES)


@pytest.mark.parametrize("name", CODES)
async def test_only_the_process_that_started_the_attempt_reports(run, name, tmp_path):
    exit_code, _, task, body = await run("forks", name, tmp_path)
    assert (exit_code, task.state) == (EXIT_OK, State.DONE)
    assert body["result"]["code"] == CODES[name]
    assert task.message == "before"
    assert "only the task's own process can save" in (tmp_path / "refusal").read_text()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
async def test_processes_and_threads_of_a_task_compute_for_it(run, method):
    exit_code, written, _, body = await run("multiprocesses", method)
    assert (exit_code, body and body["result"]) == (EXIT_OK, [25, 0, 1, 4, 9]), written


@pytest.mark.parametrize("name", EXCEPTIONS)
async def test_a_hostile_exception_is_the_task_s_error(run, name):
    assert_failed(await run("raises_hostile", name), "task_error", EXCEPTIONS[name][1])


@pytest.mark.parametrize("name", VALUES)
async def test_a_hostile_result_is_invalid(run, name):
    assert_failed(await run("returns_hostile", name), *VALUES[name][1:])


@pytest.mark.parametrize("name", READABLE)
async def test_a_hostile_class_does_not_hide_its_value(run, name):
    exit_code, _, _, body = await run("returns_hostile", name)
    assert (exit_code, body["result"]) == (EXIT_OK, READABLE[name][1])


@pytest.mark.parametrize("name", FAULTS)
async def test_a_verdict_that_holds_nothing_valid_is_an_error(run, name):
    assert_failed(await run("does_mischief", name), "task_error", "Odd")


@pytest.mark.parametrize("name", MISCHIEF)
async def test_what_a_task_spoils_does_not_keep_its_outcome_back(run, name):
    _, written, task, body = await run("does_mischief", name)
    assert task.state is State.DONE, written
    results = {"digits": "1" + "0" * 5000, "alarm": list(range(300_000))}
    assert body["result"] == results.get(name)


@pytest.mark.parametrize("name", MISCHIEF)
async def test_what_a_task_spoils_does_not_keep_its_error_back(run, name):
    _, written, _, body = await run("does_mischief", f"{name}, then raise")
    assert body["error"]["code"] == "task_error", written
    message = body["error"]["message"]
    assert re.fullmatch(r"ValueError: after the mischief \(.*\w+\.py, line \d+\)", message), written


@pytest.fixture(params=["a full disk", "a pipe without a reader"])
def no_output(request):
    if request.param == "a full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        read, descriptor = os.pipe()
        os.close(read)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("name", ["huge", "str raises"])
async def test_a_runner_that_cannot_print_records_its_outcome(run, no_output, name):
    _, _, task, body = await run("raises_hostile", name, output=no_output)
    assert (task.state, body["error"]["code"]) == (State.FAILED, "task_error")
    assert body["error"]["message"].startswith(EXCEPTIONS[name][1])


async def test_what_a_task_starts_does_not_inherit_the_token(run, valkey_url):
    _, _, _, body = await run("shows_environment", "x")
    assert body["result"]["TASKPOST_ATTEMPT"] == "1"
    assert not {"TASKPOST_TOKEN", "TASKPOST_REDIS_URL", "TASKPOST_SIGNING_KEYS"} & body["result"].keys()
    assert valkey_url not in body["result"].values()


async def test_a_thread_that_is_left_does_not_keep_the_runner(run):
    began = time.monotonic()
    exit_code, _, task, _ = await run("leaves_a_thread", "x")
    assert (exit_code, task.state) == (EXIT_OK, State.DONE)
    assert time.monotonic() - began < 30
