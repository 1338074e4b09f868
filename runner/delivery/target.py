"""A callback's URL, taken apart as it is called: nothing of it is repaired or written anew. RFC 3986. Pure."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

FORM: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?P<userinfo>[^@/?#\[\]]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]*\]|[^@:/?#\[\]]*)"
    r"(?P<port>:[^@/?#\[\]]*)?"
    r"(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class TargetInvalid(ValueError):  # noqa: N818 - reads as what it says
    """The URL cannot be called; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a callback goes.

    `host` is a name in ASCII or an address without brackets, in lower case; `authority` is what the Host header says,
    `path` what stands in the request line, and `authorization` the header for the URL's user and password, if any.
    """

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    authorization: str | None


def parse(url: str) -> Target:
    """Take a URL apart.

    Raises:
        TargetInvalid: if it has another form than http(s)://[user[:password]@]host[:port][/path][?query][#fragment].
    """
    parts = FORM.fullmatch(url)
    if parts is None:
        raise TargetInvalid("the URL is not of the form http://host or https://host")
    scheme, host = parts["scheme"].lower(), ascii_host(parts["host"])
    path = (parts["rest"] or "/").partition("#")[0]
    port = (parts["port"] or ":").removeprefix(":")
    if not host or not path.isascii() or not (port == "" or port.isdecimal()):
        raise TargetInvalid("the URL has no host, no number for a port, or characters that must be percent-encoded")
    number = int(port) if port else DEFAULT_PORTS[scheme]
    return Target(
        scheme=scheme,
        host=host.lower().removeprefix("[").removesuffix("]"),
        port=number,
        authority=host if number == DEFAULT_PORTS[scheme] else f"{host}:{number}",
        path=path if path.startswith("/") else f"/{path}",
        authorization=None if parts["userinfo"] is None else _basic(parts["userinfo"]),
    )


def ascii_host(host: str) -> str:
    """Return an international name as it goes over the wire (punycode, IDNA 2008), any other host as it is.

    Raises:
        TargetInvalid: if it is not a valid international name.
    """
    if host.isascii():
        return host
    import idna  # noqa: PLC0415 - its tables are large, and few need them

    try:
        return idna.encode(host.lower()).decode()
    except idna.IDNAError:
        raise TargetInvalid("the host is not a valid international name") from None


def _basic(userinfo: str) -> str:
    """RFC 7617: what is percent-encoded in the URL is not so in the header."""
    user, _, password = userinfo.partition(":")
    login = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return "Basic " + base64.b64encode(login).decode()
