"""Which Redis Taskpost works with."""

from __future__ import annotations

import pytest
from redis import exceptions

from api.queue.errors import QueueUnavailable, QueueUnusable, translated
from api.queue.server import check_server, judge_server

GOOD = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "cluster_enabled": 0}


def test_a_good_one():
    judge_server(GOOD)
    judge_server(GOOD | {"redis_version": "10.1"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"redis_version": "6.2.14"}, "version 6.2.14; Taskpost needs Redis 7.0"),
        ({"maxmemory_policy": "allkeys-lru"}, "allkeys-lru.*Set it to noeviction"),
        ({"cluster_enabled": 1}, "is a cluster, which Taskpost does not support"),
    ],
)
def test_one_that_will_not_do_says_what_to_change(fields, words):
    with pytest.raises(QueueUnusable, match=words):
        judge_server(GOOD | fields)


async def test_a_real_one_is_asked(redis_client):
    await check_server(redis_client)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (exceptions.OutOfMemoryError("OOM"), "maxmemory"),
        (exceptions.ReadOnlyError("READONLY"), "read-only"),
        (exceptions.AuthenticationError("WRONGPASS"), "refuses our login"),
        (exceptions.ConnectionError("refused"), "does not answer: refused"),
        (exceptions.TimeoutError("late"), "does not answer: late"),
        (exceptions.ResponseError("MISCONF no disk"), "cannot write now: MISCONF no disk"),
        (exceptions.ResponseError("BUSY a script"), "cannot write now: BUSY a script"),
        (exceptions.NoPermissionError("evalsha"), "refuses what the service asks: evalsha"),
        (exceptions.ResponseError("ACL failure in script: no"), "refuses what the service asks: ACL failure"),
    ],
)
def test_what_may_pass_is_told_apart_from_what_is_our_fault(fault, words):
    with pytest.raises(QueueUnavailable, match=words) as unavailable, translated():
        raise fault
    assert unavailable.value.retry_after_seconds > 0


def test_a_fault_of_ours_stays_what_it_is():
    with pytest.raises(exceptions.ResponseError, match="user_script"), translated():
        raise exceptions.ResponseError("user_script:1: oops")
