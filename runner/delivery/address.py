"""Hosts that are addresses already, in any spelling that name resolution would take for one. Stdlib only, no I/O."""

from __future__ import annotations

import re
import socket
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from typing import Final

_NUMBERS: Final = re.compile(r"[0-9A-Fa-fxX.]+")


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, or None if it is a name.

    IPv6 may stand in brackets. IPv4 has all the spellings of `inet_aton`, because `getaddrinfo` accepts them too:
    `127.1`, `2130706433`, `0x7f.0.0.1` and `0177.0.0.1` are 127.0.0.1.
    """
    text = host.removeprefix("[").removesuffix("]")
    if ":" in text:
        try:
            return IPv6Address(text)
        except AddressValueError:
            return None
    text = text.removesuffix(".")
    if not _NUMBERS.fullmatch(text):
        return None
    try:
        return IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


_LAST_FOUR_BYTES: Final = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped, RFC 4291
    IPv6Network("::/96"),  # IPv4-compatible, RFC 4291
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated, RFC 2765
    IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
)
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


def embedded_addresses(address: IPv4Address | IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address stands for, in each way that one can: packets may go there."""
    if isinstance(address, IPv4Address) or address in (IPv6Address("::"), IPv6Address("::1")):
        return ()
    number = int(address)
    found = []
    if any(address in network for network in _LAST_FOUR_BYTES) or (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        found.append(number & 0xFFFF_FFFF)
    if address in _SIX_TO_FOUR:
        found.append((number >> 80) & 0xFFFF_FFFF)
    if address in _TEREDO:  # RFC 4380: its server, and its client with all bits turned
        found += [(number >> 64) & 0xFFFF_FFFF, ~number & 0xFFFF_FFFF]
    return tuple(map(IPv4Address, found))
