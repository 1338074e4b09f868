"""Decides whether a request is for this service and not from another site, by `Host`, `Origin`, `Sec-Fetch-Site`. Pure.

A page on the Internet can make a browser send requests to a service on its user's machine. It can let its own name
resolve to 127.0.0.1 and then read the answers too (DNS rebinding): `Host` gives that away. And it can send what needs
no reading, across sites: that is what `Origin` and `Sec-Fetch-Site` are for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
ANY: Final = "*"

_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?")
_ORIGIN: Final = re.compile(r"(https?)://([^/]+)", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HostRule:
    """Which hosts requests may be for: `names`, and by `loopback` whether the service is bound to such an address.

    Bound to a loopback address, its names and addresses are allowed besides. Else every address is (no page can make
    a browser believe that it comes from an address), and without names everything is.
    """

    loopback: bool = False
    names: frozenset[str] = frozenset()

    @property
    def allows_all(self) -> bool:
        """Whether there is nothing to check."""
        return ANY in self.names or not (self.loopback or self.names)

    def allows(self, authority: str) -> bool:
        """Return whether requests for `authority` (`host` or `host:port`) are served."""
        host, _ = split_authority(authority)
        if not host:
            return False
        if self.allows_all or host == "localhost" or self._has(host):
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return not self.loopback or (address.is_loopback and getattr(address, "ipv4_mapped", None) is None)

    def _has(self, host: str) -> bool:
        return host in self.names or any(f"*.{parent}" in self.names for parent in _parents(host))


def refuses_sender(
    authority: str, origins: list[str], sites: list[str], trusted: frozenset[str] | tuple[str, ...]
) -> bool:
    """Return whether a page of another site sent a request that changes something.

    The order is that of Go's CrossOriginProtection: trusted origins; `Sec-Fetch-Site`; else whether the
    origin is the host that was asked. Who sends neither header is not a browser.
    """
    if len(origins) > 1 or len(sites) > 1:
        return True
    if origins and (ANY in trusted or origins[0] in trusted):
        return False
    if sites:
        return sites[0] not in {"same-origin", "none"}
    return bool(origins) and not _is_same(origins[0], authority)


def split_authority(authority: str) -> tuple[str, int | None]:
    """Return the host in lower case without brackets and final dot, and the port if there is one."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return "", None
    host, port = found.groups()
    return host.strip("[]").lower().removesuffix("."), int(port) if port else None


def _is_same(origin: str, authority: str) -> bool:
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return False
    default = _DEFAULT_PORTS[found[1].lower()]
    (host, port), (asked, asked_port) = split_authority(found[2]), split_authority(authority)
    return bool(host) and (host, port or default) == (asked, asked_port or default)


def _parents(host: str) -> list[str]:
    labels = host.split(".")
    return [".".join(labels[number:]) for number in range(1, len(labels))]
