"""Addresses of our own: those of this service, of its Redis and of the API server, where no callback may go."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from runner.delivery.address import literal_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    Address = IPv4Address | IPv6Address
    Resolve = Callable[[str], Awaitable[Sequence[Address]]]

REMEMBERED: Final = 64
"""How many addresses of one name are remembered: DNS may return different ones each time."""
RESOLVE_SECONDS: Final = 3.0
FRESH_SECONDS: Final = 5.0
"""How long a resolved name is reused, so that callbacks do not wait for DNS each time."""
FRESH_SECONDS_AFTER_FAILURE: Final = 1.0


class OwnUnknownError(Exception):
    """It is uncertain whether an address is one of our own; the message names what does not resolve."""


class OwnAddresses:
    """The addresses of our own names. An address that was seen once stays ours, even if the name changes later."""

    def __init__(self, own: Sequence[tuple[str, int]], resolve: Resolve) -> None:
        self._own = [(host, port) for host, port in own if port and literal_address(host) is None]
        self._known_ports = {port for host, port in own if literal_address(host) is not None and not is_wildcard(host)}
        self._resolve = resolve
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._fresh_until: dict[str, float] = {}
        self._met: dict[tuple[Address, int], None] = {}
        self._seen: dict[str, dict[Address, None]] = {}

    async def at_port(self, port: int) -> list[tuple[Address, int]]:
        """Return the addresses that are ours at this port, beside those that are named by address.

        Raises:
            OwnUnknownError: if a name of ours does not resolve and never has, and no address of ours at that port is
                known.
        """
        names = [host for host, its_port in self._own if its_port == port]
        await asyncio.gather(*map(self._renew, names))
        unknown = [name for name in names if not self._seen.get(name)]
        met = [(address, its_port) for address, its_port in self._met if its_port == port]
        if unknown and not met and port not in self._known_ports:
            raise OwnUnknownError(
                f"nothing is sent to port {port} now: {', '.join(unknown)}, which is Taskpost's own, does not resolve, "
                "so its address cannot be told from a receiver's"
            )
        return [*met, *((address, port) for name in names for address in self._seen[name])]

    async def learn(self, met: Iterable[tuple[str, int]] = ()) -> Sequence[tuple[str, int]]:
        """Resolve all our names; return every address that has been seen, as a policy names it.

        `met` are addresses that connections of ours lead to now, whatever their names say.
        """
        for host, port in met:
            address = literal_address(host)
            if address is not None:
                self._met.pop((address, port), None)
                self._met[address, port] = None
        for oldest in list(self._met)[:-REMEMBERED]:
            del self._met[oldest]
        names = list(dict.fromkeys(host for host, _ in self._own))
        await asyncio.gather(*map(self._renew, names))
        named = [(str(address), port) for host, port in self._own for address in self._seen[host]]
        return [*((str(address), port) for address, port in self._met), *named]

    async def _renew(self, name: str) -> None:
        """Resolve a name, unless that was done just now. Concurrent callers wait for the same answer."""
        if asyncio.get_running_loop().time() < self._fresh_until.get(name, 0):
            return
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._ask(name))
            asking.add_done_callback(lambda _: self._asking.pop(name))
        await asyncio.shield(asking)

    async def _ask(self, name: str) -> None:
        found: Sequence[Address] = ()
        fresh_seconds = FRESH_SECONDS_AFTER_FAILURE
        with suppress(OSError):  # TimeoutError among them
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._resolve(name)
                fresh_seconds = FRESH_SECONDS
        self._fresh_until[name] = asyncio.get_running_loop().time() + fresh_seconds
        seen = self._seen.setdefault(name, {})
        for address in found:
            seen.pop(address, None)
            seen[address] = None
        for oldest in list(seen)[:-REMEMBERED]:
            del seen[oldest]


def is_wildcard(host: str) -> bool:
    """Whether a host that is listened on stands for all addresses of the machine."""
    address = literal_address(host)
    return address is not None and address.is_unspecified


def is_of_this_machine(address: Address) -> bool:
    """Whether an address belongs to this machine (or pod): a socket can be bound to its own addresses alone."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the version
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
