"""An attempt from start to delivery, in this very process, with a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time

import pytest
import redis

from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Submission
from runner import execute, progress, report
from runner.attempt import read_attempt
from runner.connect import connect, connect_async
from runner.contract import EXIT_OK, EXIT_REDIS_REFUSAL, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, State
from runner.delivery.guard import Policy
from runner.outcome import Outcome
from runner.progress import ProgressThread
from runner.report import RedisRefusalError, Report, Unreachable
from tests.support.wait import until

LIMITS = QueueLimits(100, 10_000)


async def claimed(queue, task_type="sleep", task_input='{"seconds":0}', result_url=None, timeout_ms=60_000):
    submission = Submission(task_type, task_input, result_url, 0, timeout_ms)
    await queue.submit(submission, LIMITS)
    return await queue.claim(10, {task_type: None})


@pytest.fixture
def environment(monkeypatch, valkey_url, instance):
    def set_for(claim, **more):
        values = {
            "REDIS_URL": valkey_url,
            "INSTANCE": instance,
            "TASK_ID": claim.attempt_id.task_id,
            "ATTEMPT": str(claim.attempt_id.attempt),
            "TOKEN": claim.token,
        } | more
        for name, value in values.items():
            monkeypatch.setenv(f"TASKPOST_{name}", value)

    return set_for


async def run_to_end(queue, claim):
    code = await asyncio.to_thread(execute.main)
    task, _ = await queue.read(claim.attempt_id.task_id)
    return code, task


async def test_a_task_is_done(queue, environment):
    claim = await claimed(queue)
    environment(claim)
    code, task = await run_to_end(queue, claim)
    assert (code, task.state, task.percent_tenths) == (EXIT_OK, State.DONE, 1000)
    stored = await queue.read_body(task.task_id)
    assert json.loads(stored.body)["result"] == {"slept_seconds": 0.0}


@pytest.mark.parametrize(
    ("task_type", "task_input", "modules", "code", "message"),
    [
        (
            "sleep",
            '{"seconds":"x","more":1}',
            "",
            "input_invalid",
            "seconds: Input should be a valid number; more:",
        ),
        ("unknown", "{}", "", "task_error", "This runner knows no task type 'unknown'"),
        ("unknown", "{}", "no.such.module", "task_error", "task module 'no.such.module' cannot be imported"),
        ("raises", "{}", "tests.support.task_types", "task_error", "ValueError: the moon is not full \\ud800"),
        ("not_a_number", "{}", "tests.support.task_types", "result_invalid", "result['values'][1] is nan"),
    ],
)
async def test_what_goes_wrong_is_the_task_s_failure(queue, environment, task_type, task_input, modules, code, message):
    claim = await claimed(queue, task_type, task_input)
    environment(claim, TASK_MODULES=modules)
    exit_code, task = await run_to_end(queue, claim)
    assert (exit_code, task.state, task.error.code) == (EXIT_OK, State.FAILED, code)
    assert task.percent_tenths == (425 if task_type == "raises" else 0)
    assert message in task.error.message


async def test_an_attempt_that_is_not_the_current_one_does_nothing(queue, environment, capsys):
    claim = await claimed(queue)
    environment(claim, TOKEN="another")
    code, task = await run_to_end(queue, claim)
    assert (code, task.state) == (EXIT_REFUSED, State.STARTING)
    assert "refused: the task is starting" in capsys.readouterr().err


async def test_an_attempt_that_was_cancelled_meanwhile_records_nothing(queue, environment, monkeypatch, valkey_url):
    claim = await claimed(queue)
    environment(claim)

    def cancelled(*_):
        client = connect(valkey_url)
        client.hset(f"{queue._prefix}task:{claim.attempt_id.task_id}", "state", "cancelled")
        client.close()
        return Outcome(State.DONE, "null", None, 0)

    monkeypatch.setattr(execute, "_compute", cancelled)
    code, task = await run_to_end(queue, claim)
    assert (code, task.state) == (EXIT_REFUSED, State.CANCELLED)


async def test_without_redis_it_gives_up_at_its_deadline(environment, queue, monkeypatch, capsys):
    monkeypatch.setattr(report, "START_PATIENCE_SECONDS", 0.3)
    claim = await claimed(queue)
    environment(claim, REDIS_URL="redis://127.0.0.1:1")
    code, _ = await run_to_end(queue, claim)
    assert code == EXIT_UNREACHABLE
    assert "Redis does not answer" in capsys.readouterr().err


async def test_a_user_without_permission_is_told_of_at_once(environment, own_valkey, capsys):
    async with connect_async(own_valkey.url) as admin:
        queue = Queue(admin, "default")
        claim = await claimed(queue)
        await admin.acl_setuser("runner", enabled=True, nopass=True, keys=["*"], commands=["+client|setinfo", "+hello"])
        environment(claim, REDIS_URL=own_valkey.url.replace("unix://", "unix://runner:x@"), INSTANCE="default")
        async with asyncio.timeout(20):  # and not a minute
            code, task = await run_to_end(queue, claim)
    assert (code, task.state) == (EXIT_REDIS_REFUSAL, State.STARTING)
    assert "taskpost runner: Redis refuses: NOPERM User runner has no permissions" in capsys.readouterr().err


async def test_a_key_of_another_type_is_told_of_at_once(queue, environment, redis_client, capsys):
    claim = await claimed(queue)
    environment(claim)
    key = f"{queue._prefix}task:{claim.attempt_id.task_id}"
    await redis_client.delete(key)
    await redis_client.set(key, "x")
    async with asyncio.timeout(20):
        code = await asyncio.to_thread(execute.main)
    assert code == EXIT_REDIS_REFUSAL
    assert "taskpost runner: Redis refuses: WRONGTYPE" in capsys.readouterr().err


async def test_an_outcome_that_redis_refuses_is_not_repeated_until_the_deadline(environment, own_valkey, capsys):
    async with connect_async(own_valkey.url) as admin:
        queue = Queue(admin, "default")
        claim = await claimed(queue, timeout_ms=3_600_000)
        environment(claim, REDIS_URL=own_valkey.url, INSTANCE="default")
        attempt = read_attempt()
        report = Report(connect(own_valkey.url), attempt)
        started = await asyncio.to_thread(report.start)
        await admin.acl_setuser("default", commands=["-evalsha", "-eval"])
        outcome = Outcome(State.DONE, "null", None, 0)
        with pytest.raises(RedisRefusalError, match="NOPERM"):
            report.finish(outcome, b"{}", started.now_ms, until=time.monotonic() + 3600)


def test_a_wrong_environment(monkeypatch, capsys):
    monkeypatch.delenv("TASKPOST_TASK_ID", raising=False)
    assert execute.main() == EXIT_USAGE
    assert "is not set" in capsys.readouterr().err


@pytest.fixture
async def lone_queue(own_valkey):
    client = connect_async(own_valkey.url)
    yield Queue(client, "default")
    await client.aclose()


async def test_the_outcome_is_recorded_when_redis_is_back(own_valkey, lone_queue, environment, monkeypatch):
    """Redis goes while the task computes, with all that it holds on disk, and comes back later."""
    claim = await claimed(lone_queue)
    environment(claim, REDIS_URL=own_valkey.url, INSTANCE="default")
    away, back = threading.Event(), threading.Event()

    def compute(*_):
        await_save = connect(own_valkey.url)
        await_save.save()
        await_save.close()
        away.set()
        back.wait(20)
        return Outcome(State.DONE, '"kept"', None, 0)

    monkeypatch.setattr(execute, "_compute", compute)
    running = asyncio.create_task(asyncio.to_thread(execute.main))
    await asyncio.to_thread(away.wait, 20)
    own_valkey.kill()
    back.set()
    await asyncio.to_thread(own_valkey.start)
    assert await running == EXIT_OK
    task, _ = await lone_queue.read(claim.attempt_id.task_id)
    assert task.state is State.DONE


async def test_an_address_of_redis_that_changed_is_taken_up(queue, environment, valkey_url, tmp_path):
    claim = await claimed(queue)
    file = tmp_path / "redis-url"
    asked = asyncio.Event()

    def hang_up(_, writer):
        asked.set()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as old:
        file.write_text(f"redis://127.0.0.1:{old.sockets[0].getsockname()[1]}/")
        environment(claim, REDIS_URL="", REDIS_URL_FILE=str(file))
        running = asyncio.create_task(run_to_end(queue, claim))
        await asyncio.wait_for(asked.wait(), 20)
        for unusable in ("no address", None):
            file.unlink() if unusable is None else file.write_text(unusable)
            asked.clear()
            await asyncio.wait_for(asked.wait(), 20)
        file.write_text(valkey_url)
        code, task = await running
    assert (code, task.state) == (EXIT_OK, State.DONE)


async def test_its_own_delivery_try_is_reported(queue, environment):
    claim = await claimed(queue, result_url="http://127.0.0.1:1/")
    environment(claim, CALLBACK_POLICY=Policy(allow_loopback=True).to_json(), CALLBACK_RETRY_SECONDS="5")
    code, task = await run_to_end(queue, claim)
    assert (code, task.delivery.status, task.delivery.attempts) == (EXIT_OK, "pending", 1)
    assert task.delivery.last_error == "the connection was refused"


async def test_where_it_may_not_go_it_is_blocked(queue, environment):
    claim = await claimed(queue, result_url="http://127.0.0.1:1/")
    environment(claim)
    code, task = await run_to_end(queue, claim)
    assert (code, task.delivery.status, task.delivery.next_ms) == (EXIT_OK, "blocked", None)


async def test_a_try_that_cannot_be_reported_is_the_service_s_again(queue, environment, monkeypatch, capsys):
    claim = await claimed(queue, result_url="http://127.0.0.1:1/")
    environment(claim)

    def unavailable(*_):
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(Report, "delivery", unavailable)
    code, task = await run_to_end(queue, claim)
    assert (code, task.delivery.status) == (EXIT_OK, "sending")
    assert "could not be reported" in capsys.readouterr().err


class ScriptedReport:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.seen = []

    def progress(self, percent, message):
        self.seen.append(percent)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    def renew(self):
        self.renewed = True


async def test_progress_is_sent_a_few_times_a_second_and_the_latest_is_not_lost(monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.05)
    scripted = ScriptedReport(True, redis.ConnectionError("gone"))
    thread = ProgressThread(scripted)
    thread.start()
    began = time.monotonic()
    thread.set(1)

    async def first_sent():
        return scripted.seen == [1]

    await until(first_sent)
    for percent in range(2, 51):
        thread.set(percent)

    async def latest_sent():
        return scripted.seen[-1:] == [50] and not scripted.answers

    await until(latest_sent)
    thread.end()
    assert scripted.renewed
    assert len(scripted.seen) <= 2 + (time.monotonic() - began) / 0.05


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_is_not_held_up_by_a_lock_that_was_taken_when_it_was_forked():
    thread = ProgressThread(ScriptedReport())
    with thread._changed._cond:  # as the thread itself has it for a moment, each time it begins to wait
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            thread.set(1)
            thread.say("of the child")
            thread.end()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_runner_that_is_obsolete_ends(monkeypatch, capsys):
    ended = threading.Event()
    codes = []

    def end(code):
        codes.append(code)
        ended.set()

    monkeypatch.setattr(progress.os, "_exit", end)
    thread = ProgressThread(ScriptedReport(False))
    thread.start()
    thread.set(10)
    assert ended.wait(10)
    thread.end()
    assert codes == [EXIT_REFUSED]
    assert "no longer the current one" in capsys.readouterr().err


async def test_persistence_ends_at_the_deadline(queue, environment, capsys):
    environment(await claimed(queue))
    attempt = read_attempt()

    def unavailable():
        raise redis.ConnectionError("gone")

    with pytest.raises(Unreachable, match="gone"):
        Report(connect(attempt.redis_url), attempt)._persist(unavailable, until=time.monotonic() + 0.5)
    said = capsys.readouterr().err
    assert said.count("Redis does not answer: gone; this is tried again") == 1, "however often it is tried"


async def test_an_address_that_has_changed_is_tried_before_a_refusal_counts(queue, environment, tmp_path, valkey_url):
    """A user that was replaced, with its address in a file that Kubernetes has just changed."""
    file = tmp_path / "redis-url"
    file.write_text(valkey_url)
    environment(await claimed(queue), REDIS_URL_FILE=str(file))
    attempt = read_attempt()
    calls = []

    def refused():
        calls.append(1)
        if len(calls) == 1:
            file.write_text(valkey_url + "?db=0")
            raise redis.exceptions.NoPermissionError("no")
        return "done"

    assert Report(connect(valkey_url), attempt)._persist(refused, until=time.monotonic() + 10) == "done"


async def test_progress_that_redis_refuses_is_told_of_once_and_not_repeated(queue, environment, capsys):
    environment(await claimed(queue))
    attempt = read_attempt()
    sent = threading.Semaphore(0)

    class Refusing(Report):
        def progress(self, percent, message=""):
            sent.release()
            raise redis.exceptions.NoPermissionError("no permission")

    thread = ProgressThread(Refusing(connect(attempt.redis_url), attempt))
    thread.start()
    for percent in (1, 2):
        thread.set(percent)
        assert sent.acquire(timeout=10)
    assert not sent.acquire(timeout=1), "nothing has changed since"
    thread.end()
    assert capsys.readouterr().err.count("progress is not sent: Redis refuses: NOPERM no permission") == 1
