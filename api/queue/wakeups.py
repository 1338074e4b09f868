"""What Redis tells the controller: that a duty has something to do. It is a hint, and may be missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.queue.errors import translated
from runner.contract import wakeups_channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

LISTEN_SECONDS: Final = 10.0


async def wakeups(client: Redis, instance: str) -> AsyncIterator[str | None]:
    """Yield None once listening, so that the caller can look at what it missed, then the name of each duty woken.

    Raises:
        QueueUnavailable: when the connection is lost.
    """
    with translated():
        async with client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(wakeups_channel(instance))
            yield None
            while True:
                message = await subscription.get_message(timeout=LISTEN_SECONDS)
                if message is not None:
                    yield message["data"].decode(errors="replace")
