"""Connections to Redis, for the runner and for the service: one place for time-outs, TLS, ACL user and Sentinel.

Addresses: `redis://[user:password@]host:port/db`, `rediss://` for TLS (`?ssl_ca_certs=FILE` for a CA of one's own),
`unix:///path.sock?db=n`, and `redis+sentinel://[user:password@]host:port[,host:port...]/service-name[/db]`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    import redis.asyncio

DEFAULT_SENTINEL_PORT: Final = 26379
CONNECT_TIMEOUT_SECONDS: Final = 0.8
COMMAND_TIMEOUT_SECONDS: Final = 1.0
"""Both together stay under the two seconds in which the service answers 503."""
HEALTH_CHECK_INTERVAL_SECONDS: Final = 15
KEEP: Final = ("CLIENT", "NO-EVICT", "ON")
SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel")


class RedisUrlError(ValueError):
    """The address of Redis cannot be used; the message says why, without the password."""


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the Sentinels are, and which service of theirs is ours."""

    sentinels: tuple[tuple[str, int], ...]
    service_name: str
    database: int
    username: str | None
    password: str | None


def connect(url: str, **options: Any) -> redis.Redis:  # noqa: ANN401 - passed on to redis-py
    """Return a client for programs without an event loop. Connects at the first command.

    Raises:
        RedisUrlError: if the address has a wrong form.
    """
    import redis  # noqa: PLC0415 - the runner imports it once, and only where it is needed
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    check_url(url)
    kept = _connect_options(url, _keep)
    if _scheme(url) != "redis+sentinel":
        return redis.Redis.from_url(url, **_options(url, Retry(NoBackoff(), 0)), **kept, **options)
    from redis.sentinel import Sentinel  # noqa: PLC0415

    address, shared = parse_sentinel(url), _options(url, Retry(NoBackoff(), 0))
    sentinel: Any = Sentinel(list(address.sentinels), sentinel_kwargs=shared)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(address.service_name, **_login(address), **shared, **kept, **options)
    return client


def connect_async(url: str, **options: Any) -> redis.asyncio.Redis:  # noqa: ANN401 - passed on to redis-py
    """Return a client for asyncio. Connects at the first command.

    Raises:
        RedisUrlError: if the address has a wrong form.
    """
    import redis.asyncio  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    check_url(url)
    kept = _connect_options(url, _keep_async)
    if _scheme(url) != "redis+sentinel":
        return redis.asyncio.Redis.from_url(url, **_options(url, Retry(NoBackoff(), 0)), **kept, **options)
    from redis.asyncio.sentinel import Sentinel  # noqa: PLC0415

    address, shared = parse_sentinel(url), _options(url, Retry(NoBackoff(), 0))
    sentinel: Any = Sentinel(list(address.sentinels), sentinel_kwargs=shared)  # type: ignore[no-untyped-call]
    login = _login(address)
    client: redis.asyncio.Redis = sentinel.master_for(address.service_name, **login, **shared, **kept, **options)
    return client


def peer_addresses(client: redis.asyncio.Redis) -> list[tuple[str, int]]:
    """Return where the connections of a client lead to now: to the servers themselves, not to their Sentinels."""
    pool: Any = client.connection_pool
    writers = [connection._writer for connection in (*pool._available_connections, *pool._in_use_connections)]  # noqa: SLF001 - redis-py shows them nowhere else
    peers = [writer.get_extra_info("peername") for writer in writers if writer is not None]
    return [(peer[0].partition("%")[0], peer[1]) for peer in peers if isinstance(peer, tuple)]


def parse_sentinel(url: str) -> SentinelAddress:
    """Read a `redis+sentinel://` address.

    Raises:
        RedisUrlError: if it names no Sentinel or no service.
    """
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    service_name, _, database = parts.path.strip("/").partition("/")
    if not hosts or not service_name:
        raise RedisUrlError("a Sentinel address has the form redis+sentinel://host:port,host:port/service-name")
    try:
        return SentinelAddress(
            sentinels=tuple(_host_and_port(host) for host in hosts.split(",")),
            service_name=service_name,
            database=int(database or 0),
            username=unquote(username) or None,
            password=unquote(password) or None,
        )
    except ValueError:
        raise RedisUrlError("a Sentinel address has numbers for ports and database") from None


def check_url(url: str) -> None:
    """Refuse an address that libraries would refuse: their messages show parts of it, which may be the password.

    Raises:
        RedisUrlError: if it has a wrong form.
    """
    from redis.connection import parse_url  # noqa: PLC0415

    try:
        if _scheme(url) == "redis+sentinel":
            parse_sentinel(url)
        else:
            parse_url(url)  # type: ignore[no-untyped-call]
            _ = urlsplit(url).port
    except RedisUrlError:
        raise
    except (ValueError, TypeError):
        raise RedisUrlError(
            "its host, its port or one of its options is not valid; the form is redis://[user:password@]host:port/db, "
            "and characters like / # ? @ in a password are percent-encoded"
        ) from None


def _scheme(url: str) -> str:
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise RedisUrlError(f"the scheme is not one of {', '.join(SCHEMES)}")
    if scheme in {"redis", "rediss"} and not re.fullmatch(r"/?[0-9]*", urlsplit(url).path):
        raise RedisUrlError("the path of the address is the number of a database, e.g. redis://localhost:6379/0")
    return scheme


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    return host, int(port or DEFAULT_SENTINEL_PORT)


def _login(address: SentinelAddress) -> dict[str, Any]:
    return {"db": address.database, "username": address.username, "password": address.password}


def _options(url: str, retry: object) -> dict[str, Any]:
    """A dead connection is noticed, and nothing is tried twice behind the caller's back: a submit is not idempotent."""
    options = {
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": COMMAND_TIMEOUT_SECONDS,
        "health_check_interval": HEALTH_CHECK_INTERVAL_SECONDS,
        "retry": retry,
    }
    if _scheme(url) == "unix":
        return options
    from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415

    # With these notifications the pool hands out connections that Redis has closed, and each new one takes a turn more.
    return options | {
        "socket_keepalive": True,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _connect_options(url: str, keep: Callable[[Any], object]) -> dict[str, Any]:
    """A Valkey on a socket of this user alone has no clients that it must be protected from."""
    return {} if _scheme(url) == "unix" else {"redis_connect_func": keep}


def _keep(connection: Any) -> None:  # noqa: ANN401 - any of redis-py's connections
    """Log in, and ask that `maxmemory-clients` closes the connections of others first, never this one."""
    from redis.exceptions import ResponseError  # noqa: PLC0415

    connection.on_connect()
    connection.send_command(*KEEP, check_health=False)
    with suppress(ResponseError):  # a user that may not ask for it works all the same
        connection.read_response()


async def _keep_async(connection: Any) -> None:  # noqa: ANN401 - any of redis-py's connections
    from redis.exceptions import ResponseError  # noqa: PLC0415

    await connection.on_connect()
    await connection.send_command(*KEEP, check_health=False)
    with suppress(ResponseError):
        await connection.read_response()
