"""A slot is not held for a callback: receivers that hang, or take their time, cost other tasks nothing."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.misbehaving import Misbehaving
from tests.support.service import ServiceProcess, eventually

SLOTS, HANGING, HEALTHY = 8, 80, 40
MOST_TIMES = 1.5


pytestmark = pytest.mark.alone


def submitted(client, callers, url, number):
    """Tasks in the order of their submission."""
    tasks = callers.map(lambda _: client.submit("sleep", {"seconds": 0}, result_url=url).task.task_id, range(number))
    return list(tasks)


def wait_for_all(client, task_ids):
    for task_id in task_ids:
        client.wait(task_id, timeout_seconds=300)


def seconds_of(client, callers, first_url, healthy_url):
    """How long 40 healthy tasks behind 80 others take: from their submission, and once the others are done."""
    began = time.monotonic()
    others = submitted(client, callers, first_url, HANGING)
    healthy = submitted(client, callers, healthy_url, HEALTHY)
    wait_for_all(client, others)
    others_done = time.monotonic()
    wait_for_all(client, healthy)
    return time.monotonic() - began, time.monotonic() - others_done


def test_tasks_of_a_receiver_that_hangs_hold_no_slots(data_directory):
    with (
        ServiceProcess(data_directory, concurrency=SLOTS) as service,
        service.client() as client,
        Misbehaving() as hanging,
        Misbehaving() as healthy,
        ThreadPoolExecutor(4) as callers,
    ):
        whole_alone, rest_alone = seconds_of(client, callers, healthy.url("/status/204"), healthy.url("/status/204"))
        whole, rest = seconds_of(client, callers, hanging.url("/hang"), healthy.url("/status/204"))
        assert whole <= MOST_TIMES * whole_alone, f"{whole:.1f} s, and {whole_alone:.1f} s with no receiver that hangs"
        assert rest <= MOST_TIMES * rest_alone, f"{rest:.1f} s, and {rest_alone:.1f} s with no receiver that hangs"
        eventually(lambda: len({one.headers["webhook-id"] for one in healthy.received}) == HANGING + 2 * HEALTHY)


def test_a_receiver_that_takes_two_seconds_gets_each_outcome_once_but_for_the_first(data_directory):
    """A runner does not wait that long. From then on the service sends to it, and does."""
    with (
        ServiceProcess(data_directory, concurrency=2) as service,
        service.client() as client,
        Misbehaving() as slow,
    ):
        url = slow.url("/late/2/204")
        for _ in range(3):
            task_id = client.submit("sleep", {"seconds": 0}, result_url=url).task.task_id
            eventually(lambda task_id=task_id: client.get(task_id).delivery.status == "delivered")
        assert [made.by for made in client.deliveries(task_id).tries] == ["service"]
        times = Counter(one.headers["webhook-id"] for one in slow.received)
        assert sorted(times.values()) == [1, 1, 2], "the runner's attempt of the first was given up after a second"
        assert next(iter(times.values())) == 2
