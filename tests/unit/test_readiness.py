"""What everybody is told by the readiness probe, and what only the log says."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions

from api.queue.errors import QueueUnavailable
from api.readiness import Readiness

SECRETS = ("system:serviceaccount", "namespace", "10.0.0.7", "hush", "@user_script")


class Stub:
    def __init__(self, fault=None, trouble=None):
        self.fault = fault
        self.trouble = trouble

    async def probe(self):
        if self.fault is not None:
            raise self.fault


def readiness(fault=None, trouble=None, *, checked=True):
    stub, event = Stub(fault, trouble), asyncio.Event()
    if checked:
        event.set()
    return Readiness(stub, stub, event), stub


TROUBLE = (
    'jobs.batch is forbidden: User "system:serviceaccount:space:taskpost" cannot create resource "jobs" in API group '
    '"batch" in the namespace "space"'
)


@pytest.mark.parametrize(
    ("fault", "trouble", "reason"),
    [
        (None, TROUBLE, "No attempt can be started now"),
        (
            QueueUnavailable("Redis does not answer: refused by 10.0.0.7:6379"),
            None,
            "Redis does not answer",
        ),
        (QueueUnavailable("Redis refuses our login: hush"), TROUBLE, "Redis refuses our login"),
        (exceptions.NoPermissionError("this user has no permissions @user_script"), None, "Redis refuses what the"),
        (exceptions.ResponseError("WRONGTYPE hush"), None, "Redis refuses what the"),
        (RuntimeError("10.0.0.7"), None, "Redis refuses what the"),
    ],
)
async def test_the_answer_is_neutral_and_the_log_says_it_once(caplog, fault, trouble, reason):
    ready, stub = readiness(fault, trouble)
    for _ in range(3):
        told = await ready.why_not()
        assert told.startswith(reason)
        assert not any(secret in told for secret in SECRETS)
    (record,) = caplog.records
    assert record.details == (trouble if fault is None else str(fault))
    stub.fault = stub.trouble = None
    assert await ready.why_not() is None
    stub.trouble = TROUBLE
    await ready.why_not()
    assert len(caplog.records) == 2


async def test_before_redis_has_been_checked_nothing_is_ready():
    ready, _ = readiness(checked=False)
    assert await ready.why_not() == "Redis has not been checked yet"
