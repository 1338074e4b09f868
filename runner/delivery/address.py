"""Hosts that are addresses already, in any spelling that name resolution would take for one. Stdlib only, no I/O."""

from __future__ import annotations

import re
import socket
from ipaddress import AddressValueError, IPv4Address, IPv6Address
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
