"""redis-py's connections for asyncio, at less CPU for each command: a POST is little more than one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.connection import HiredisRespSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio import Redis

_pack = HiredisRespSerializer().pack


def quicken(client: Redis) -> Redis:
    """Let the connections that `client` makes from now on pack and send with less work; return the client.

    `make bench` compares: 20 arguments take 2 us instead of 30, and no task of asyncio is made for each command.
    """
    pool = client.connection_pool
    kind = pool.connection_class
    pool.connection_class = type(f"Quick{kind.__name__}", (_Quick, kind), {})
    return client


class _Quick:
    """The overrides that are faster than redis-py, mixed into its class for TCP, TLS, a socket or Sentinel."""

    def pack_command(self, *args: Any) -> list[bytes]:  # noqa: ANN401 - whatever redis-py is given
        """Pack in C, as redis-py does for clients without asyncio."""
        packed: list[bytes] = _pack(*args)
        return packed

    async def send_packed_command(self, command: Iterable[bytes] | bytes | str, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Send. Waits, with redis-py's timeout, only for bytes that the kernel does not accept at once."""
        connection: Any = self
        if check_health and connection.is_connected:
            await connection.check_health()
        if connection.is_connected and isinstance(command, list) and not connection._writer.is_closing():  # noqa: SLF001
            writer = connection._writer  # noqa: SLF001 - redis-py's own subclasses use it too
            writer.writelines(command)
            if not writer.transport.get_write_buffer_size():
                return
            command = []
        await super().send_packed_command(command, check_health=False)  # type: ignore[misc]
