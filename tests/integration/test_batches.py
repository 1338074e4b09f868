"""Calls that go to Redis together: each caller has the reply to its own, and one that fails takes no other with it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import NoScriptError, RedisError, ResponseError

from api.queue.batches import BATCH_CHARACTERS, Batches
from api.queue.connection import quicken
from api.queue.shapes import Accepted, QueueLimits, Submission
from runner.connect import COMMAND_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS, connect_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from api.queue.queue import Queue
    from tests.support.valkey import ValkeyServer

ECHO = """
if ARGV[1] == 'fail' then
  return redis.error_reply('FAIL as asked')
end
redis.call('RPUSH', KEYS[1], ARGV[1])
return { ARGV[1], redis.call('LLEN', KEYS[1]) }
"""


@pytest.fixture
async def client(own_valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = quicken(connect_async(own_valkey.url))
    yield client
    await client.aclose()


@pytest.fixture
def batches(client: Redis) -> Batches:
    return Batches(client, client.register_script(ECHO))


async def test_batch_gives_each_caller_its_own_reply(batches: Batches, client: Redis) -> None:
    texts = [f"text {number} \u2713" for number in range(50)]
    replies = await asyncio.gather(*(batches.call("list", text) for text in texts))
    assert [reply[0].decode() for reply in replies] == texts
    assert [reply[1] for reply in replies] == list(range(1, 51))
    assert (await client.info("clients"))["connected_clients"] <= 2, "they went by one connection"


async def test_batch_with_failing_call_still_answers_others(batches: Batches) -> None:
    replies = await asyncio.gather(
        *(batches.call("list", text) for text in ("one", "fail", "two", "fail", "three")), return_exceptions=True
    )
    assert [type(reply) for reply in replies] == [list, ResponseError, list, ResponseError, list]
    assert [replies[index][1] for index in (0, 2, 4)] == [1, 2, 3]


async def test_batch_loads_script_that_redis_has_lost(batches: Batches, client: Redis) -> None:
    await batches.call("list", "before")
    await client.script_flush()
    replies = await asyncio.gather(*(batches.call("list", str(number)) for number in range(5)))
    assert [reply[1] for reply in replies] == [2, 3, 4, 5, 6], "each has run once"


async def test_batch_reports_script_that_cannot_be_kept(
    batches: Batches, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load_nothing(_script: str) -> str:
        return ""

    monkeypatch.setattr(client, "script_load", load_nothing)
    with pytest.raises(NoScriptError):
        await batches.call("list", "lost")


async def test_batch_ends_at_large_calls(batches: Batches) -> None:
    large = "x" * BATCH_CHARACTERS
    replies = await asyncio.gather(*(batches.call(f"list {number}", large) for number in range(20)))
    assert [reply for reply in replies if reply[0] != large.encode() or reply[1] != 1] == []


async def test_batch_survives_caller_that_gives_up(batches: Batches) -> None:
    gone = asyncio.ensure_future(batches.call("list", "gone"))
    stays = asyncio.ensure_future(batches.call("list", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays)[0] == b"stays"
    assert (await batches.call("list", "next"))[0] == b"next"


async def test_batch_reports_cancellation_leaked_by_library_as_fault_of_redis(
    batches: Batches, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leak() -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(client.connection_pool, "get_connection", leak)
        replies = await asyncio.gather(*(batches.call("list", text) for text in "ab"), return_exceptions=True)
    assert [isinstance(reply, RedisError) for reply in replies] == [True, True], replies
    assert (await batches.call("list", "next"))[0] == b"next"


async def test_silent_redis_fails_all_callers_in_time_and_answers_again_later(
    batches: Batches, own_valkey: ValkeyServer
) -> None:
    await batches.call("list", "before")
    own_valkey.pause()
    began = time.monotonic()
    replies = await asyncio.gather(*(batches.call("list", str(number)) for number in range(20)), return_exceptions=True)
    seconds = time.monotonic() - began
    own_valkey.resume()
    assert {isinstance(reply, RedisError) for reply in replies} == {True}
    assert seconds < CONNECT_TIMEOUT_SECONDS + COMMAND_TIMEOUT_SECONDS + 0.5
    assert (await batches.call("list", "after"))[0] == b"after"


async def test_restarted_redis_is_used_again(batches: Batches, own_valkey: ValkeyServer) -> None:
    await batches.call("list", "before")
    own_valkey.kill()
    refused = await asyncio.gather(*(batches.call("list", "x") for _ in range(3)), return_exceptions=True)
    assert {isinstance(reply, RedisError) for reply in refused} == {True}
    own_valkey.start()
    assert (await batches.call("list", "after"))[0] == b"after"


@pytest.mark.parametrize("result_url", [None, "https://callbacks.example.com/x"])
async def test_submitted_task_is_told_as_it_is_read(queue: Queue, result_url: str | None) -> None:
    limits = QueueLimits(max_length=10, max_bytes=10_000)
    for _ in range(2):
        outcome = await queue.submit(Submission("fibonacci", '{"n":1}', result_url, -3, 60_000), limits)
        assert isinstance(outcome, Accepted)
        found = await queue.read(outcome.task.task_id)
        assert found is not None
        assert outcome.task == found[0]
