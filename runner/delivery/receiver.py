"""What an attempt shows about its receiver: its speed, and the account that its attempts count under. Pure."""

from __future__ import annotations

from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from runner.delivery.address import embedded_addresses

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.delivery.post import Try

Address: TypeAlias = IPv4Address | IPv6Address
Standing: TypeAlias = Literal["good", "failed", "slow"]

QUICK_SECONDS: Final = 1.0
"""A receiver that takes longer is slow: a runner does not wait for it, and the service makes its attempts apart."""
TOO_MANY_REQUESTS: Final = 429
SERVER_ERRORS: Final = 500
IPV6_PREFIX_BITS: Final = 64
NAME_LABELS: Final = 2

_connecting: Final[ContextVar[Callable[[Address], None] | None]] = ContextVar("connecting", default=None)


def on_connecting(tell: Callable[[Address], None]) -> None:
    """Have the attempts of this task (of asyncio) call `tell` with each address before they connect to it.

    What it raises ends the attempt.
    """
    _connecting.set(tell)


def connecting(address: Address) -> None:
    """Report that an attempt is about to connect to an address."""
    tell = _connecting.get()
    if tell is not None:
        tell(address)


def standing_of(result: Try) -> Standing | None:
    """Return the standing of a receiver after an attempt, or None if the attempt shows nothing.

    A receiver that answers within a second is good, even with 404: one task's wrong path is not its fault.
    """
    if result.blocked:
        return None
    if result.duration_seconds >= QUICK_SECONDS:
        return "slow"
    status = result.status
    if result.delivered:
        return "good"
    return "failed" if status is None or status == TOO_MANY_REQUESTS or status >= SERVER_ERRORS else "good"


def account_of(address: Address) -> str:
    """Return the account of an address: itself, but the whole /64 of IPv6, which one owner has."""
    embedded = embedded_addresses(address)
    if isinstance(address, IPv4Address) or embedded:
        return str(embedded[0] if embedded else address)
    return str(IPv6Network((address, IPV6_PREFIX_BITS), strict=False))


def account_of_name(host: str) -> str:
    """Return the account of a receiver (`host` or `host:port`) whose address is not known: its domain."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return "name " + ".".join(name.removesuffix(".").split(".")[-NAME_LABELS:])
