"""Real runners, started as the local executor starts them, with a Valkey of their own."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.embedded.environment import base_environment
from api.executors.local.executor import KEEPER_COMMAND
from api.queue.queue import Queue
from api.queue.shapes import Accepted, QueueLimits, Slot, Submission
from runner.connect import connect_async
from runner.contract import Env
from runner.delivery.guard import Policy
from tests.benchmarks.usage import Usage, usage_of

if TYPE_CHECKING:
    from api.queue.shapes import Claim

INSTANCE = "bench"
TASK_TYPE = "cpu_until_progress"
TASK_MODULE = "tests.benchmarks.task_types"
SIGNING_KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
LIMITS = QueueLimits(max_length=1000, max_bytes=1_000_000)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a runner used, and what its task returned."""

    usage: Usage
    result: Any


def run_runner(redis_url: str, result_url: str | None = None) -> Ran:
    """Submit a task, run its attempt to the end, and free its slot."""
    claim = asyncio.run(_claim(redis_url, result_url))
    environment = {
        Env.REDIS_URL: redis_url,
        Env.INSTANCE: INSTANCE,
        Env.TASK_ID: claim.attempt_id.task_id,
        Env.ATTEMPT: str(claim.attempt_id.attempt),
        Env.TOKEN: claim.token,
        Env.TASK_MODULES: TASK_MODULE,
        Env.SIGNING_KEYS: SIGNING_KEY,
        Env.CALLBACK_POLICY: Policy(allow_loopback=True).to_json(),
        Env.CALLBACK_RETRY_SECONDS: "5.0",
    }
    command = (*KEEPER_COMMAND, "1", "60", os.devnull)
    usage = usage_of(command, {**base_environment(os.environ), "PYTHONUNBUFFERED": "1", **environment})
    return Ran(usage, asyncio.run(_result(redis_url, claim)))


async def _claim(redis_url: str, result_url: str | None) -> Claim:
    async with connect_async(redis_url) as client:
        queue = Queue(client, INSTANCE)
        accepted = await queue.submit(Submission(TASK_TYPE, "{}", result_url, 0, 60_000), LIMITS)
        claim = await queue.claim(1, {TASK_TYPE: None})
    assert isinstance(accepted, Accepted) and claim is not None
    return claim


async def _result(redis_url: str, claim: Claim) -> Any:
    async with connect_async(redis_url) as client:
        queue = Queue(client, INSTANCE)
        stored = await queue.read_body(claim.attempt_id.task_id)
        await queue.release(Slot(claim.attempt_id, claim.task_type))
    assert stored.body is not None
    document = json.loads(stored.body)
    assert document["status"] == "done", document
    return document["result"]
