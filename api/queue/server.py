"""Is this a Redis that Taskpost can rely on? Asked once at start, read from INFO: managed servers forbid CONFIG."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError, ResponseError

from api.queue.errors import QueueForbiddenError, QueueUnusable, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis.asyncio import Redis

    from api.queue.queue import Queue

MIN_VERSION: Final = (7, 0)
NO_SUCH_DATABASE: Final = "DB index"


async def check_server(client: Redis) -> None:
    """Ask Redis what it is.

    Raises:
        QueueUnusable: if it is too old, evicts keys, or is a cluster.
        QueueUnavailable: if it does not answer.
    """
    with _refusals_are_final("INFO, which identifies the kind of server: give the user +info"):
        try:
            info = await client.info()
        except RedisError as error:
            if NO_SUCH_DATABASE in str(error):
                raise QueueUnusable(f"Redis refuses us: {error}. Look at the database in its address.") from None
            raise
    judge_server(info)


async def check_scripts(queue: Queue) -> None:
    """Check that Redis runs our scripts, with one that writes.

    Raises:
        QueueUnusable: if it refuses to.
        QueueUnavailable: if it does not answer, or cannot write now.
    """
    with _refusals_are_final("the scripts that Taskpost consists of: give the user +@all -@dangerous +info"):
        await queue.probe()


@contextmanager
def _refusals_are_final(what: str) -> Iterator[None]:
    """Raise `QueueUnavailable` for an error that can pass by itself, else `QueueUnusable`."""
    try:
        with translated():
            yield
    except (QueueForbiddenError, ResponseError) as error:
        answer = error.answer if isinstance(error, QueueForbiddenError) else error
        raise QueueUnusable(f"Redis does not allow {what}. Its answer: {answer}") from None


def judge_server(info: Mapping[str, Any]) -> None:
    """Judge the fields of INFO.

    Raises:
        QueueUnusable: if it is too old, evicts keys, or is a cluster.
    """
    version = str(info.get("redis_version", "unknown"))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < MIN_VERSION:
        raise QueueUnusable(f"This Redis is version {version}; Taskpost needs Redis 7.0 or later, or Valkey.")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise QueueUnusable(
            f"The maxmemory-policy of this Redis is {policy}: it would drop tasks without a word when memory is full. "
            "Set it to noeviction."
        )
    if int(info.get("cluster_enabled", 0)):
        raise QueueUnusable(
            "This Redis is a cluster, which Taskpost does not support. Use a single server or one behind Sentinel."
        )
