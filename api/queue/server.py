"""Is this a Redis that Taskpost can rely on? Asked once at start, read from INFO: managed servers forbid CONFIG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from api.queue.errors import QueueUnusable, translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

MIN_VERSION: Final = (7, 0)
NO_SUCH_DATABASE: Final = "DB index"


async def check_server(client: Redis) -> None:
    """Ask Redis what it is.

    Raises:
        QueueUnusable: if it is too old, evicts keys, or is a cluster.
        QueueUnavailable: if it does not answer.
    """
    try:
        info = await client.info()
    except RedisError as error:
        if NO_SUCH_DATABASE in str(error):
            raise QueueUnusable(f"Redis refuses us: {error}. Look at the database in its address.") from None
        with translated():
            raise
    judge_server(info)


def judge_server(info: Mapping[str, Any]) -> None:
    """Judge the fields of INFO.

    Raises:
        QueueUnusable: if it is too old, evicts keys, or is a cluster.
    """
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
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
