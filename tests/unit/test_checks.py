"""What `GET /api/checks` finds: faults are answers, the address of Redis stays out, and a round serves all who ask."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions

from api import checks
from api.checks import Checks
from api.executors.base import StartError
from api.queue.errors import QueueUnavailable

OWNER = "0123456789abcdef"


class Stub:
    """A queue and an executor that answer as they are told."""

    attempt_kind = "jobs"

    def __init__(self):
        self.fault = None
        self.leading = OWNER
        self.refusal = None
        self.rounds = 0
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def probe(self):
        self.rounds += 1
        self.begun.set()
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault

    async def leader(self):
        if self.fault is not None:
            raise self.fault
        return self.leading

    async def check(self):
        if self.refusal is not None:
            raise self.refusal
        return "the API server accepts a Job"


@pytest.fixture
def stub():
    return Stub()


@pytest.fixture
def made(stub):
    checked = asyncio.Event()
    checked.set()
    return Checks(stub, stub, checked, OWNER)


async def found(made):
    return {one.name: (one.ok, one.message) for one in await made.look()}


async def test_all_is_well(made):
    assert await found(made) == {
        "redis": (True, "Redis takes writes and runs our scripts"),
        "leader": (True, f"this service leads ({OWNER})"),
        "jobs": (True, "the API server accepts a Job"),
    }


@pytest.mark.parametrize(
    "fault",
    [
        QueueUnavailable("Redis does not answer: refused by 10.0.0.7:6379"),
        exceptions.NoPermissionError("user hush has no permissions"),
        RuntimeError("10.0.0.7"),
    ],
)
async def test_an_outage_of_redis_is_an_answer_without_its_address(made, stub, fault):
    stub.fault = fault
    told = await found(made)
    assert not told["redis"][0]
    assert not told["leader"][0]
    assert told["jobs"][0]
    assert not any(secret in str(told) for secret in ("10.0.0.7", "hush"))


async def test_before_redis_has_been_checked(stub):
    told = await found(Checks(stub, stub, asyncio.Event(), OWNER))
    assert told["redis"] == (False, "Redis has not been checked yet; the log of the service has the details")


@pytest.mark.parametrize(
    ("leading", "ok", "words"), [(None, False, "no service leads"), ("fedcba9876543210", True, "another service leads")]
)
async def test_who_leads(made, stub, leading, ok, words):
    stub.leading = leading
    told = (await found(made))["leader"]
    assert told[0] is ok
    assert told[1].startswith(words)


async def test_what_keeps_attempts_from_starting_is_shown_and_bounded(made, stub):
    stub.refusal = StartError("jobs.batch is forbidden\n\x1b[2J" + "x" * 5000)
    ok, message = (await found(made))["jobs"]
    assert not ok
    assert message.startswith("jobs.batch is forbidden")
    assert message.isprintable()
    assert len(message) == checks.SHOWN_CHARACTERS


async def test_one_round_serves_all_who_ask(made, stub):
    stub.gate.clear()
    asking = [asyncio.create_task(made.look()) for _ in range(100)]
    await stub.begun.wait()
    asking[0].cancel()
    stub.gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert stub.rounds == 1
    assert all(answer is answers[0] for answer in answers)
    assert await made.look() is answers[0]


async def test_an_old_answer_is_not_given_again(made, stub, monkeypatch):
    monkeypatch.setattr(checks, "KEPT_SECONDS", 0)
    await made.look()
    stub.leading = None
    assert not (await found(made))["leader"][0]
    assert stub.rounds == 2
