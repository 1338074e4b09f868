"""Where a callback may go: a pure judgement of names and addresses, by rules that service and runner share."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from runner.delivery.address import embedded_addresses, literal_address

if TYPE_CHECKING:
    from collections.abc import Collection

    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network

NEVER: Final[tuple[tuple[str, str], ...]] = (
    ("169.254.0.0/16", "link-local and metadata addresses"),
    ("fe80::/10", "link-local addresses"),
    ("0.0.0.0/8", "unspecified addresses"),
    ("::/128", "the unspecified address"),
    ("224.0.0.0/4", "multicast"),
    ("ff00::/8", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved addresses"),
    ("192.0.0.0/24", "addresses reserved by the IETF, metadata of clouds among them"),
    ("fec0::/10", "site-local addresses, which are no longer in use"),
    ("64:ff9b:1::/48", "local-use NAT64 addresses, which the local network maps to IPv4 addresses"),
    # What clouds answer on beside 169.254.169.254: AWS, Google, Alibaba, Azure.
    ("fd00:ec2::/32", "metadata addresses"),
    ("fd20:ce::254/128", "metadata addresses"),
    ("100.100.100.200/32", "metadata addresses"),
    ("168.63.129.16/32", "metadata addresses"),
)
"""What is refused whatever the settings say: networks, and what they are.

The chart's NetworkPolicies leave out the same, which a test holds.
"""
ANY_PORT: Final = 0
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_PATTERN: Final = re.compile(r"[a-z0-9*._-]+")


class Blocked(Exception):  # noqa: N818 - a verdict, not a mistake
    """A callback may not go there; the message says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed and refused beside what always is.

    `allow` and `deny` hold networks (`10.0.0.0/8`) and patterns of host names (`*.example.com`): with `allow` nothing
    else is called, and `deny` wins over it. `own` are the hosts and ports of the service itself, of its Redis and of
    the API server; the host of one that listens on all addresses is 0.0.0.0, and port 0 is every port.
    """

    allow_loopback: bool = False
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    own: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> str:
        """Return it as text, for the environment of a runner."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read what `to_json` wrote.

        Raises:
            ValueError: if it is something else.
        """
        given = json.loads(text)
        return cls(
            allow_loopback=given["allow_loopback"] is True,
            allow=tuple(given["allow"]),
            deny=tuple(given["deny"]),
            own=tuple((host, port) for host, port in given["own"]),
        )


@cache
def parse_rule(text: str) -> Network | str:
    """Return the network that an entry of `allow` or `deny` is, or the pattern of host names.

    Raises:
        ValueError: if it is neither.
    """
    literal = literal_address(text)
    if literal is not None or "/" in text or ":" in text:
        return ip_network(text if literal is None else str(literal))
    pattern = text.lower().removesuffix(".")
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{text!r} is neither a network like 10.0.0.0/8 nor a host name like *.example.com")
    return pattern


def judge_name(host: str, port: int, policy: Policy) -> None:
    """Judge a host that is a name, as far as a name tells.

    Raises:
        Blocked: if it must not be called, whatever its addresses are.
    """
    name = _bare(host)
    if not policy.allow_loopback and (name == "localhost" or name.endswith(".localhost")):
        raise _blocked_loopback("localhost")
    if any(own_port in {port, ANY_PORT} and fnmatchcase(name, _bare(own)) for own, own_port in policy.own):
        raise _blocked_own(name, port)
    if _names(policy.deny, name):
        raise Blocked(f"callbacks to {name} are denied by TASKPOST_CALLBACK_DENY")
    can_be_allowed = not policy.allow or _names(policy.allow, name) or any(map(_is_network, policy.allow))
    if not can_be_allowed:
        raise Blocked(f"callbacks to {name} are not in TASKPOST_CALLBACK_ALLOW")


def judge(
    address: Address, policy: Policy, *, host: str = "", port: int = 0, own: Collection[tuple[Address, int]] = ()
) -> None:
    """Judge an address that a connection would go to, and every address that is embedded in it.

    `host` is the name that led there, empty if it is an address itself; `own` are our own addresses and ports as far as
    they are known now, beside those that `policy.own` holds as addresses.

    Raises:
        Blocked: if it must not be called.
    """
    ours = {*own, *((found, its) for name, its in policy.own if (found := literal_address(name)) is not None)}
    every = (address, *embedded_addresses(address))
    for one in every:
        _refuse_always(one, address)
        if not ours.isdisjoint({(one, port), (one, ANY_PORT)}):
            raise _blocked_own(str(one), port)
        if _holds(policy.deny, one):
            raise Blocked(f"callbacks to {address} are denied by TASKPOST_CALLBACK_DENY")
    if policy.allow and not (_names(policy.allow, _bare(host)) or _holds(policy.allow, address)):
        raise Blocked(f"callbacks to {address} are not in TASKPOST_CALLBACK_ALLOW")
    if not policy.allow_loopback and is_loopback(address):
        raise _blocked_loopback(str(address))


def is_loopback(address: Address) -> bool:
    """Whether an address leads to this very machine, as it is or as what is embedded in it."""
    return any(_holds(LOOPBACK, one) for one in (address, *embedded_addresses(address)))


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet, and so is every address that is embedded in it."""
    embedded = embedded_addresses(address)
    return all(one.is_global for one in embedded) if embedded else address.is_global


def _blocked_own(host: str, port: int) -> Blocked:
    return Blocked(
        f"{host}:{port} is Taskpost itself, its own Redis or the API server, where callbacks may not go: "
        "give another result_url"
    )


def _blocked_loopback(host: str) -> Blocked:
    return Blocked(
        f"callbacks to this machine ({host}) are not allowed here: give an address at which Taskpost reaches the "
        "receiver, or see TASKPOST_CALLBACK_ALLOW_LOOPBACK"
    )


def _refuse_always(address: Address, shown: Address) -> None:
    for network, what in NEVER:
        if _is_in(address, network):
            raise Blocked(f"callbacks to {shown} are never allowed ({what})")
    if address.is_reserved and not embedded_addresses(address) and not _holds(LOOPBACK, address):
        raise Blocked(f"callbacks to {shown} are never allowed (reserved addresses)")


def _bare(host: str) -> str:
    return host.lower().removesuffix(".")


def _is_network(rule: str) -> bool:
    return not isinstance(parse_rule(rule), str)


def _names(rules: Collection[str], name: str) -> bool:
    parsed = (parse_rule(rule) for rule in rules)
    return bool(name) and any(isinstance(rule, str) and fnmatchcase(name, rule) for rule in parsed)


def _holds(rules: Collection[str], address: Address) -> bool:
    return any(_is_in(address, rule) for rule in rules)


def _is_in(address: Address, rule: str) -> bool:
    network = parse_rule(rule)
    return not isinstance(network, str) and address in network
