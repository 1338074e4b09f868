"""Connections for callbacks: a name is resolved once, every address of it judged, and only those are connected to."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from runner.delivery.address import embedded_addresses, literal_address
from runner.delivery.guard import judge, judge_name
from runner.delivery.own import OwnAddresses, is_of_this_machine, is_wildcard
from runner.delivery.stream import PlainStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from runner.delivery.guard import Policy

    Address = IPv4Address | IPv6Address
    Resolve = Callable[[str], Awaitable[Sequence[Address]]]

EARLIER_ADDRESS_SECONDS: Final = 2.0
"""How long a connection to an address is waited for when there are others: one that is silent leaves them time."""
SEND_BUFFER_BYTES: Final = 256 * 1024
"""The kernel's send buffer. Its size bounds how far the reported number of bytes sent can be too high."""


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
            found = OSError(f"{name!r} is not a host name: {error}")
        except OSError as error:
            found = error
        with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return await answer


class Network:
    """Connects to addresses that were judged, and to no others."""

    def __init__(self, policy: Policy, resolve: Resolve = resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self.own = OwnAddresses(policy.own, resolve)

    async def judged_addresses(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of a host: those, and no others, may be connected to.

        Raises:
            Blocked: if the name, or any one of its addresses, must not be called.
            OwnUnknownError: if it cannot be told whether they are our own.
            OSError: if it has none.
        """
        literal = literal_address(host)
        if literal is None:
            judge_name(host, port, self._policy)
        found, own = await asyncio.gather(self.addresses(host), self.own.at_port(port))
        if any(port == its_port and is_wildcard(name) for name, its_port in self._policy.own):
            every = {one for address in found for one in (address, *embedded_addresses(address))}
            own += [(address, port) for address in every if is_of_this_machine(address)]
        for address in found:
            judge(address, self._policy, host="" if literal is not None else host, port=port, own=own)
        return found

    async def addresses(self, host: str) -> Sequence[Address]:
        """Return the addresses of a host without judging them.

        Raises:
            OSError: if it has none.
        """
        literal = literal_address(host)
        return [literal] if literal is not None else await self._resolve(host)


async def connect(
    addresses: Sequence[Address], port: int, connecting: Callable[[Address], None] = lambda _: None
) -> tuple[PlainStream, Address]:
    """Connect to the first address that takes it; also return which one that was.

    `connecting` is called with each before it is connected to; what it raises ends the attempt.

    Raises:
        OSError: why the last one did not.
    """
    *earlier, last = addresses
    for address in earlier:
        connecting(address)
        with suppress(OSError):  # TimeoutError among them
            async with asyncio.timeout(EARLIER_ADDRESS_SECONDS):
                return await _connect(address, port), address
    connecting(last)
    return await _connect(last, port), last


async def _connect(address: Address, port: int) -> PlainStream:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the version
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)  # noqa: FBT003 - the interface's
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        await asyncio.get_running_loop().sock_connect(made, (str(address), port))
    except BaseException:
        made.close()
        raise
    return PlainStream(made)
