"""What changes, as Redis announces it: a hint to look, never the truth itself, for an announcement can be missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.queue.errors import translated
from runner.contract import changes_channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

LISTEN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a task: its new state, `progress`, `released`, `deliver` or the status of its delivery."""

    task_id: str
    what: str


async def changes(client: Redis, instance: str) -> AsyncIterator[Change | None]:
    """Yield None once listening, so that the caller can look at what it missed, then every change.

    Raises:
        QueueUnavailable: when the connection is lost.
    """
    with translated():
        async with client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(changes_channel(instance))
            yield None
            while True:
                message = await subscription.get_message(timeout=LISTEN_SECONDS)
                if message is not None:
                    task_id, _, what = message["data"].decode().partition(" ")
                    yield Change(task_id, what)
