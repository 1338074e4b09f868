"""Fixtures for all tests: a Valkey for the session, and in it an instance of its own for each test."""

from __future__ import annotations

import signal
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from api.queue.queue import Queue
from runner.connect import connect_async
from tests.support import registered
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

# Below `nohup`, or in the background of a script, processes ignore these, and so do those that they start.
for _signal, _handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

# On a busy machine an example waits for the processor: what is to be fast measures its own time.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


@pytest.fixture(autouse=True)
def _own_task_types() -> Iterator[None]:
    """Forget the task types that a test registers: the next one would have them too."""
    before = registered.names()
    yield
    registered.forget(before)


@pytest.fixture(autouse=True)
def _usual_limit_of_digits() -> Iterator[None]:
    """That of a new interpreter: the runner lifts it for its process, which in a test is everyone's."""
    sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)
    yield
    sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)


@pytest.fixture(scope="session")
def _session_valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey_url(_session_valkey: ValkeyServer) -> str:
    """The URL of a server that all tests share: kill it not, fill it not, and use `instance`."""
    return _session_valkey.url


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A server for this test alone, to be killed, paused, or filled."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def redis_client(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect_async(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def instance() -> str:
    """A name that no other test has."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def queue(redis_client: Redis, instance: str) -> Queue:
    return Queue(redis_client, instance)
