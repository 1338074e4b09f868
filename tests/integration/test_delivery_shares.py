"""Strangers choose the names, ports and answers of receivers: honest callbacks still go at once, in bounded memory."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from api.core.task import Reason
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Submission
from runner.connect import connect_async
from runner.contract import State
from tests.support.misbehaving import Misbehaving
from tests.support.service import ServiceProcess, eventually

pytestmark = pytest.mark.alone
TASKS = 1400
UNBOUNDED = 2**32
LIMITS = QueueLimits(10_000, 10_000_000, undelivered_max_bytes=UNBOUNDED, undelivered_max_bytes_per_receiver=UNBOUNDED)
LARGE, LARGE_BYTES = 170, 5_000_000
WATCHED_SECONDS = 20
MOST_BYTES = 220 * 2**20
PORTS = 100
HONEST = 60
PROMPT_SECONDS = 1.0
CALLERS = 4


@contextmanager
def silent_ports(host, number):
    """Ports that take connections, by the kernel, and on which nobody ever reads."""
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server((host, 0), backlog=100)) for _ in range(number)]
        yield [one.getsockname()[1] for one in listening]


def cancelled(client, url, task_type="sleep", task_input=None):
    """A task that ends with no runner that could tell: its first delivery attempt is the service's."""
    task_id = client.submit(task_type, task_input or {"seconds": 0}, result_url=url).task.task_id
    client.cancel(task_id)
    return task_id


def delays_of(client, receiver, number, host=None):
    """How long each of some honest callbacks takes from the end of its task, one after the other."""
    delays = []
    before = len(receiver.received)
    for index in range(1, number + 1):
        task_id = client.submit("sleep", {"seconds": 0}, result_url=receiver.url("/status/204", host)).task.task_id
        began = time.monotonic()
        client.cancel(task_id)
        receiver.wait_for(before + index)
        delays.append(time.monotonic() - began)
    return delays


def p99(delays):
    return statistics.quantiles(delays, n=100)[98]


@pytest.fixture
def busy_service(data_directory, gate):
    """A service whose only slot is taken."""
    with ServiceProcess(data_directory, concurrency=1) as service, service.client() as client:
        client.submit("gate", gate.task_input)
        gate.begun()
        yield service, client
        gate.open()


def flooded(client, callers, urls):
    return [callers.submit(cancelled, client, url) for url in urls]


@pytest.mark.parametrize("names", ["ports", "spellings"])
def test_many_silent_names_of_one_address_delay_nobody(busy_service, names):
    """1,400 tasks over 100 ports or spellings of an address: honest ones go at once, there and elsewhere."""
    _, client = busy_service
    with (
        silent_ports("127.0.0.2", PORTS if names == "ports" else 1) as ports,
        Misbehaving(host="127.0.0.3") as elsewhere,
        Misbehaving(host="127.0.0.2") as beside,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        hosts = [f"127.0.0.2:{port}" for port in ports]
        if names == "spellings":
            hosts = [f"{'0' * (1 + number)}177.0.0.2:{ports[0]}" for number in range(PORTS)]
        flood = flooded(client, callers, [f"http://{hosts[number % PORTS]}/" for number in range(TASKS)])
        delays = {"elsewhere": delays_of(client, elsewhere, HONEST), "beside": delays_of(client, beside, HONEST)}
        for one in flood:
            one.result()
        delays["after the flood"] = delays_of(client, elsewhere, HONEST)
        for where, found in delays.items():
            assert p99(found) < PROMPT_SECONDS, f"{where}: p99 {p99(found) * 1000:.0f} ms, {sorted(found)[-3:]}"


def test_many_silent_addresses_do_not_delay_a_receiver_that_answers(busy_service):
    _, client = busy_service
    with (
        silent_ports("0.0.0.0", 1) as (port,),
        Misbehaving(host="127.0.0.3") as honest,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        delays_of(client, honest, 1)
        urls = [f"http://127.1.{number // 200}.{1 + number % 200}:{port}/" for number in range(TASKS)]
        flood = flooded(client, callers, urls)
        delays = delays_of(client, honest, HONEST)
        for one in flood:
            one.result()
        delays += delays_of(client, honest, HONEST)
        assert p99(delays) < PROMPT_SECONDS, f"p99 {p99(delays) * 1000:.0f} ms, {sorted(delays)[-3:]}"


async def store(url, result_urls, size):
    """Tasks that have ended with results of a size, before the service starts."""
    client = connect_async(url)
    queue = Queue(client, "default")
    for result_url in result_urls:
        submission = Submission("sleep", "{}", result_url, 0, 60_000)
        task = (await queue.submit(submission, LIMITS)).task
        assert await queue.conclude(task, State.CANCELLED, Reason("cancelled", "x"), b"x" * size, 1)
    await client.aclose()


@pytest.mark.parametrize("receivers", [1, 85])
def test_large_results_are_read_only_when_there_is_room(data_directory, own_valkey, receivers):
    """170 results of 5 MB whose receivers read them and never answer: memory stays bounded, and others get theirs."""
    with ExitStack() as stack:
        hanging = stack.enter_context(Misbehaving(host="0.0.0.0"))
        honest = stack.enter_context(Misbehaving(host="127.0.0.3"))
        urls = [hanging.url("/hang", f"127.0.2.{1 + number % receivers}") for number in range(LARGE)]
        urls += [honest.url("/status/204") for _ in range(8)]
        asyncio.run(store(own_valkey.url, urls, LARGE_BYTES))
        service = stack.enter_context(
            ServiceProcess(
                data_directory,
                redis_url=own_valkey.url,
                callback_allow_loopback="true",
                concurrency=1,
                undelivered_max_bytes=UNBOUNDED,
                undelivered_max_bytes_per_receiver=UNBOUNDED,
            )
        )
        process = psutil.Process(service.process.pid)
        until, most = time.monotonic() + WATCHED_SECONDS, 0

        def watched():
            nonlocal most
            most = max(most, process.memory_info().rss)
            return time.monotonic() > until

        honest.wait_for(8, 20)
        eventually(watched, seconds=2 * WATCHED_SECONDS)
        assert most < MOST_BYTES, f"{most / 2**20:.0f} MiB"
        assert len(hanging.received) >= min(receivers, 6)
        client = stack.enter_context(service.client())
        assert len(list(client.list_deliveries("pending", limit=200))) == LARGE
