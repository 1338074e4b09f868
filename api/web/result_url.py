"""The syntax of `result_url`. Pure: what a name resolves to is judged when it is called, by `runner/delivery/guard`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from runner.delivery.address import literal_address
from runner.delivery.guard import Blocked, judge, judge_name
from runner.delivery.target import DEFAULT_PORTS, FORM, TargetInvalid, ascii_host

if TYPE_CHECKING:
    from runner.delivery.guard import Policy

MAX_URL_CHARACTERS: Final = 2048
REMEMBERED: Final = 1024
"""For how many URLs the verdict is kept: most tasks of a client name the same one."""
MAX_HOST_CHARACTERS: Final = 253
MAX_PORT: Final = 65_535

# RFC 3986; what is sent must be what is stored, so nothing is left for an HTTP library to repair.
_CHARACTERS: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*+")
_PORT: Final = re.compile(r":0*[1-9][0-9]{0,4}")
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_CREDENTIALS: Final = re.compile(r"(?P<scheme>[^/]*//)(?P<user>[^@:/?#]*:)?[^@/?#]*@")


@lru_cache(maxsize=REMEMBERED)
def refusal(url: str, policy: Policy) -> str | None:
    """Say why a callback cannot go to this URL, or return None if it can, as far as its text tells."""
    if len(url) > MAX_URL_CHARACTERS:
        return f"The URL has more than {MAX_URL_CHARACTERS} characters"
    parts = FORM.fullmatch(url)
    if parts is None:
        return "Expected an absolute http or https URL, for example https://example.com/results"
    if not _CHARACTERS.fullmatch((parts["userinfo"] or "") + (parts["rest"] or "")):
        return "The URL has a character that must be percent-encoded"
    port = parts["port"]
    if port is not None and not (_PORT.fullmatch(port) and int(port[1:]) <= MAX_PORT):
        return f"The port is not a number from 1 to {MAX_PORT}"
    number = DEFAULT_PORTS[parts["scheme"].lower()] if port is None else int(port[1:])
    return _host_refusal(parts["host"], number, policy)


def masked(url: str) -> str:
    """Return the URL without the credentials in it: `https://user:***@host/`."""
    found = _CREDENTIALS.match(url)
    return f"{found['scheme']}{found['user'] or ''}***@{url[found.end() :]}" if found else url


def _host_refusal(host: str, port: int, policy: Policy) -> str | None:
    if host.startswith("[") and ":" not in host:
        return "Expected an IPv6 address in brackets"
    try:
        name = ascii_host(host).removesuffix(".").lower()
        address = literal_address(name)
        if address is not None:
            judge(address, policy, port=port)
            return None
        refused = _name_refusal(name)
        if refused is None:
            judge_name(name, port, policy)
    except TargetInvalid:
        return "The host is not a valid international name"
    except Blocked as blocked:
        return f"The host is not allowed: {blocked}"
    return refused


def _name_refusal(name: str) -> str | None:
    if not name:
        return "The URL has no host"
    labels = name.split(".")
    if len(name) > MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        return "The host is neither a name, its parts of 1 to 63 letters, digits and hyphens, nor an address"
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return "The host ends in a number and is not an address"
    return None
