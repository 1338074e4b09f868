"""Which addresses a callback may go to. Of all that must not be reached, this judges loopback."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address


class Blocked(Exception):  # noqa: N818 - a verdict, not a mistake
    """A callback may not go there; the message says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed beside public and private addresses."""

    allow_loopback: bool


def judge(address: IPv4Address | IPv6Address, policy: Policy) -> None:
    """Judge the address that a connection would go to.

    Raises:
        Blocked: if it must not.
    """
    mapped = getattr(address, "ipv4_mapped", None) or address
    if (mapped.is_loopback or mapped.is_unspecified) and not policy.allow_loopback:
        raise Blocked(f"callbacks to this machine ({address}) are not allowed here")


async def judge_host(host: str, port: int, policy: Policy) -> None:
    """Judge every address that a host name has now.

    Raises:
        Blocked: if one of them must not be called.
        OSError: if the name has no address.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        judge(ip_address(str(address[0]).partition("%")[0]), policy)
