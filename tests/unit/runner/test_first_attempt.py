"""The runner's own delivery attempt: what it may cost the slot, and what becomes of one that takes too long."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from api.queue.shapes import QueueLimits, Submission
from runner import execute
from runner.contract import EXIT_OK
from runner.delivery import network
from runner.delivery.guard import Policy
from runner.report import Report
from tests.support.misbehaving import Misbehaving
from tests.support.rooms import room_for

LIMITS = QueueLimits(100, 10_000)
LOOPBACK = Policy(allow_loopback=True).to_json()
SLOT_SECONDS = 3.0


@pytest.fixture
def attempt_of(queue, monkeypatch, valkey_url, instance):
    """Run the attempt of a task with this callback; return the task and how long that took."""

    async def run(result_url):
        task = (await queue.submit(Submission("sleep", '{"seconds":0}', result_url, 0, 60_000), LIMITS)).task
        claim = await queue.claim(100, {"sleep": None})
        names = {
            "REDIS_URL": valkey_url,
            "INSTANCE": instance,
            "TASK_ID": task.task_id,
            "ATTEMPT": str(claim.attempt_id.attempt),
            "TOKEN": claim.token,
            "CALLBACK_POLICY": LOOPBACK,
            "CALLBACK_RETRY_SECONDS": "30 60",
        }
        for name, value in names.items():
            monkeypatch.setenv(f"TASKPOST_{name}", value)
        began = time.monotonic()
        assert await asyncio.to_thread(execute.main) == EXIT_OK
        return (await queue.read(task.task_id))[0], time.monotonic() - began

    return run


async def test_a_receiver_that_hangs_is_left_to_the_service_with_its_whole_schedule(queue, attempt_of):
    with Misbehaving() as receiver:
        task, seconds = await attempt_of(receiver.url("/hang"))
        assert 1 <= seconds < SLOT_SECONDS
        assert (task.delivery.status, task.delivery.attempts) == ("pending", 1)
        assert "no answer within 1 second" in task.delivery.last_error
        _, (due,) = await queue.deliveries.claim(room_for(1), 30, "token")
        assert (due.task_id, due.tries, due.account) == (task.task_id, 0, "127.0.0.1")
        task, seconds = await attempt_of(receiver.url("/hang"))
        assert (task.delivery.status, task.delivery.attempts) == ("pending", 0)
        assert seconds < 1, "it is known to hang: no slot is held for it"
        assert len(receiver.received) == 1


async def test_a_receiver_that_has_failed_is_left_to_the_service_until_it_has_answered(queue, attempt_of):
    with Misbehaving() as receiver:
        task, _ = await attempt_of(receiver.url("/status/503"))
        assert (task.delivery.status, task.delivery.attempts) == ("pending", 1)
        task, _ = await attempt_of(receiver.url("/status/204"))
        assert (task.delivery.status, task.delivery.attempts) == ("pending", 0)
        await queue.deliveries.note(receiver.url("/"), "good", "127.0.0.1")
        task, _ = await attempt_of(receiver.url("/status/204"))
        assert (task.delivery.status, task.delivery.attempts) == ("delivered", 1)


async def test_an_error_of_one_url_is_not_held_against_its_receiver(attempt_of):
    with Misbehaving() as receiver:
        for _ in range(2):
            task, _ = await attempt_of(receiver.url("/status/404"))
            assert (task.delivery.status, task.delivery.attempts) == ("pending", 1)


async def test_a_name_server_that_is_silent_does_not_hold_the_slot(attempt_of, monkeypatch):
    asked, ended = threading.Event(), threading.Event()

    def silent(*_, **__):
        asked.set()
        ended.wait(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(network.socket, "getaddrinfo", silent)
    try:
        task, seconds = await attempt_of("http://receiver.example/")
    finally:
        ended.set()
    assert asked.is_set()
    assert seconds < SLOT_SECONDS
    assert (task.delivery.status, task.delivery.attempts) == ("pending", 1)


async def test_a_redis_that_is_silent_after_the_outcome_does_not_hold_the_slot(attempt_of, monkeypatch, capsys):
    ended = threading.Event()
    monkeypatch.setattr(Report, "delivery", lambda *_: ended.wait(30))
    with Misbehaving() as receiver:
        try:
            task, seconds = await attempt_of(receiver.url("/status/204"))
        finally:
            ended.set()
    assert seconds < SLOT_SECONDS
    assert task.delivery.status == "sending", "its lease runs out, and the service makes the attempt"
    assert "left to the service" in capsys.readouterr().err


async def test_few_slots_at_a_time_are_held_for_receivers_of_which_nothing_is_known(attempt_of):
    """However many names there are, the runners of an instance wait for two silent ones, and then not for a while."""
    with Misbehaving(host="0.0.0.0") as receiver:
        found = [await attempt_of(receiver.url("/hang", f"127.0.3.{number}")) for number in range(1, 6)]
        assert [task.delivery.attempts for task, _ in found] == [1, 1, 0, 0, 0]
        assert sum(seconds for _, seconds in found[2:]) < SLOT_SECONDS


async def test_a_finish_that_is_repeated_answers_the_same(queue, attempt_of, monkeypatch):
    """The reply was lost: the attempt is still the runner's, as long as nobody else has taken the delivery."""
    finish = Report.finish
    replies = []

    def twice(report, *arguments, **more):
        replies.append(finish(report, *arguments, **more))
        replies.append(finish(report, *arguments, **more))
        return replies[-1]

    monkeypatch.setattr(Report, "finish", twice)
    with Misbehaving() as receiver:
        task, _ = await attempt_of(receiver.url("/status/204"))
        assert replies == [True, True]
        assert task.delivery.status == "delivered"
        assert len(receiver.received) == 1
