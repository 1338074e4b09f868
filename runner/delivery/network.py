"""Connections for callbacks: a name is resolved once, every address of it judged, and only those are connected to."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import httpcore

from runner.delivery.address import literal_address
from runner.delivery.guard import judge, judge_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from runner.delivery.guard import Policy

    Address = IPv4Address | IPv6Address
    Resolve = Callable[[str], Awaitable[Sequence[Address]]]

EARLIER_ADDRESS_SECONDS: Final = 2.0
"""How long a connection to an address is waited for when there are others: one that is silent leaves them time."""


async def resolve(name: str) -> Sequence[Address]:
    """Return all addresses of a name, the preferred ones first.

    Each call has a thread of its own, which nobody waits for: a name server that is silent holds up no other name,
    and no program that ends.

    Raises:
        OSError: if it has none.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()

    def tell(found: Sequence[Address] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        found: Sequence[Address] | OSError
        try:
            rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(ip_address(str(row[4][0]).partition("%")[0]) for row in rows))
        except UnicodeError as error:  # a name that no encoder takes
            found = OSError(f"{name!r} is no host name: {error}")
        except OSError as error:
            found = error
        with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return await answer


async def judged_addresses(host: str, port: int, policy: Policy, resolve: Resolve = resolve) -> Sequence[Address]:
    """Return the addresses of a host: those, and no others, may be connected to.

    Raises:
        Blocked: if the name, or any one of its addresses, must not be called.
        OSError: if it has none.
    """
    literal = literal_address(host)
    if literal is None:
        judge_name(host, port, policy)
    found = [literal] if literal is not None else await resolve(host)
    own = [
        (address, port)
        for name, its_port in policy.own
        if its_port == port and literal_address(name) is None
        for address in await _addresses_or_none(name, resolve)
    ]
    for address in found:
        judge(address, policy, host="" if literal is not None else host, port=port, own=own)
    return found


async def _addresses_or_none(name: str, resolve: Resolve) -> Sequence[Address]:
    try:
        return await resolve(name)
    except OSError:
        return ()


class JudgedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only; certificates are still checked against the name."""

    def __init__(self, policy: Policy, resolve: Resolve = resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def judge(self, host: str, port: int) -> None:
        """Judge what somebody else will connect to: by its addresses, if they are known here, else by its name alone.

        Raises:
            Blocked: if it must not be called.
        """
        with suppress(OSError):
            await judged_addresses(host, port, self._policy, self._resolve)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that takes it.

        Raises:
            Blocked: if one of the host's addresses must not be called.
            OSError: if it has none.
            httpcore.ConnectError, httpcore.ConnectTimeout: if none can be connected to.
        """
        *earlier, last = await judged_addresses(host, port, self._policy, self._resolve)
        for address in earlier:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._network.connect_tcp(
                    str(address), port, EARLIER_ADDRESS_SECONDS, local_address, socket_options
                )
        return await self._network.connect_tcp(str(last), port, timeout, local_address, socket_options)
