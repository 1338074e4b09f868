"""The forms of single settings: addresses to listen on, names of our own, proxies. Pure."""

from __future__ import annotations

import re
from typing import Final

from runner.delivery.address import literal_address
from runner.delivery.guard import is_loopback
from runner.delivery.target import TargetInvalid, parse

MAX_PORT: Final = 65_535


def split_bind(bind: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: if the text has another form.
    """
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not port.isdecimal() or int(port) > MAX_PORT or (":" in host and "[" not in bind):
        raise ValueError("host:port is wanted, e.g. 127.0.0.1:8000 or [::1]:8000")
    return host, int(port)


def is_bound_to_loopback(bind: str) -> bool:
    """Whether a service that listens there can be called from this machine alone."""
    name = split_bind(bind)[0].lower().removesuffix(".")
    address = literal_address(name)
    return name == "localhost" if address is None else is_loopback(address)


def is_proxy(url: str) -> bool:
    """Whether this is the URL of a proxy, be it with a user and a password."""
    if not re.fullmatch(
        r"https?://([^@/?#\[\]\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^@:/?#\[\]\s]+)(:[0-9]{1,5})?/?", url, re.IGNORECASE
    ):
        return False
    try:
        return 0 < parse(url).port <= MAX_PORT
    except TargetInvalid:
        return False


def split_own_name(text: str) -> tuple[str, int]:
    """Return the host and the port of `host` or `host:port`; without a port it is 0, which stands for every one.

    Raises:
        ValueError: if the text has another form.
    """
    host, colon, port = text.rpartition(":") if re.search(r"[^:]:[0-9]+$|\]:[0-9]+$", text) else (text, "", "")
    name = host.removeprefix("[").removesuffix("]")
    form = r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?"
    is_name = literal_address(name) is not None or re.fullmatch(form, name)
    if not is_name or (colon and not 0 < int(port) <= MAX_PORT) or (colon and name.startswith("*")):
        raise ValueError(f"{text!r} is not a host name, or a host name and a port, like tasks.example.com:443")
    return name.lower().removesuffix("."), int(port or 0)
