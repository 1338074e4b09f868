"""A hundred thousand tasks in mixed states, made by the queue's own verbs, many of them in one round trip."""

from __future__ import annotations

import uuid
from itertools import islice
from typing import TYPE_CHECKING

from api.queue.queue import DEFAULT_CLIENT, LUA_DIRECTORY
from runner import scripts
from runner.contract import State, key_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis.asyncio import Redis

Call = tuple[str, tuple[str | int, ...]]

AT_A_TIME = 500
UNLIMITED = 10_000_000
TOKEN = "a-token"
NO_LEASE = ""
FATES = (State.QUEUED, *[State.DONE] * 5, *[State.FAILED] * 2, *[State.CANCELLED] * 2)
"""What becomes of every ten tasks."""


class Filler:
    """Makes tasks of some types in turn; every ten of a type meet the `FATES`."""

    def __init__(self, client: Redis, instance: str, types: tuple[str, ...]) -> None:
        self._client = client
        self._prefix = key_prefix(instance)
        self._types = types

    async def fill(self, number: int) -> None:
        plan = [
            (self._types[index % len(self._types)], FATES[index // len(self._types) % 10]) for index in range(number)
        ]
        replies = await self._run(self._submissions(plan))
        task_ids = [detail[0].decode() for _, detail in replies]
        await self._run(
            call
            for task_id, (name, fate) in zip(task_ids, plan, strict=True)
            for call in self._fate(task_id, name, fate)
        )

    def _submissions(self, plan: list[tuple[str, State]]) -> Iterator[Call]:
        for name, fate in plan:
            # Those that are to run are more urgent than the others: a claim then takes them in their order.
            priority, random = int(fate is State.DONE), uuid.uuid4().hex[16:]
            limits, no_key = [UNLIMITED * 100] * 5, ("", "", 0, 0)
            yield "submit", (DEFAULT_CLIENT, name, priority, "", 60_000, '{"n":1}', random, *limits, *no_key)

    def _fate(self, task_id: str, name: str, fate: State) -> Iterator[Call]:
        now, body = 0, "{}"
        if fate is State.DONE:
            limits = [word for known in self._types for word in (known, -1, 0, 0, ",")]
            yield "claim", (DEFAULT_CLIENT, UNLIMITED, TOKEN, NO_LEASE, UNLIMITED, *limits)
            yield "start", (task_id, 1, TOKEN, "holder")
            yield "finish", (task_id, 1, TOKEN, fate, "", "", body, now, 1000, 0, "", "", "", "")
            yield "release", (task_id, 1, name, NO_LEASE)
        elif fate is not State.QUEUED:
            yield "conclude", (task_id, State.QUEUED, 0, fate, "lost", "It is lost", body, now, NO_LEASE, "lost")

    async def _run(self, calls: Iterable[Call]) -> list:
        replies, calls, shas = [], iter(calls), await self._load()
        while chunk := list(islice(calls, AT_A_TIME)):
            async with self._client.pipeline(transaction=False) as pipeline:
                for verb, arguments in chunk:
                    pipeline.evalsha(shas[verb], 1, self._prefix, *arguments)
                replies += await pipeline.execute()
        return replies

    async def _load(self) -> dict[str, str]:
        folders = {"start": scripts.LUA_DIRECTORY, "finish": scripts.LUA_DIRECTORY}
        return {
            verb: await self._client.script_load(scripts.load(verb, folders.get(verb, LUA_DIRECTORY)))
            for verb in ("submit", "claim", "conclude", "release", *folders)
        }
