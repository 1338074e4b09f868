"""The forms of single settings. Pure: `split_...` parses a text, `check_...` returns a value that has the right form.

All of them raise `ValueError` with what is expected; `api.settings` adds the variable and its value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.setting_names import shown
from runner.connect import check_url
from runner.delivery.address import literal_address
from runner.delivery.guard import is_loopback, parse_rule
from runner.delivery.sign import parse_keys
from runner.delivery.target import TargetInvalid, parse

if TYPE_CHECKING:
    from pydantic import SecretStr

MAX_PORT: Final = 65_535


def split_list(value: object) -> object:
    """Return the parts of a text that commas or white space separate; any other value as it is."""
    return tuple(part for part in re.split(r"[,\s]+", value) if part) if isinstance(value, str) else value


def split_directories(value: object) -> object:
    """Return the absolute paths in a text like $PATH; any other value as it is."""
    if not isinstance(value, str):
        return value
    return tuple(str(Path(part).absolute()) for part in value.split(os.pathsep) if part)


def split_pairs(value: object) -> object:
    """Return the numbers by name of a text like `sleep=2,fibonacci=1`; any other value as it is."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in re.split(r"[,\s]+", value) if pair]
    numbers = {name: number for name, _, number in pairs}
    if len(numbers) < len(pairs):
        raise ValueError("a task type is named twice")
    return numbers


def in_lower_case(value: object) -> object:
    """Return a text in lower case, without white space around it; any other value as it is."""
    return value.strip().lower() if isinstance(value, str) else value


def check_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return origins of browsers, e.g. https://tasks.example.com, or `*`."""
    if not all(re.fullmatch(r"\*|https?://[^/\s]+", origin) for origin in value):
        raise ValueError("Expected origins, e.g. https://tasks.example.com, or *")
    return value


def check_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return host names in lower case and without a final dot, e.g. *.example.com, or `*`."""
    names = tuple(name.lower().removesuffix(".") for name in value)
    form = r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*"
    if not all(re.fullmatch(form, name) or (literal_address(name) and "[" not in name) for name in names):
        raise ValueError("Expected host names without a port, e.g. tasks.example.com or *.example.com, or *")
    return names


def check_signing_keys(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Return keys of the form whsec_...."""
    parse_keys(key.get_secret_value() for key in value)
    return value


def check_rules(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return networks and host names, e.g. 10.0.0.0/8 or *.example.com."""
    for rule in value:
        parse_rule(rule)
    return value


def check_own_names(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return host names with or without a port."""
    for name in value:
        split_own_name(name)
    return value


def check_proxy(value: SecretStr) -> SecretStr:
    """Return the URL of a proxy, or an empty text."""
    text = value.get_secret_value()
    if text and not is_proxy(text):
        raise ValueError(
            "Expected http://host:port or https://host:port, with user:password@ before the host if it needs them; "
            "percent-encode characters like / # ? @ in a password"
        )
    return value


def check_redis_url(value: SecretStr | None) -> SecretStr | None:
    """Return the address of a Redis, or None."""
    if value is not None:
        check_url(value.get_secret_value())
    return value


def check_bind(value: str) -> str:
    """Return host:port."""
    split_bind(value)
    return value


def check_instance(value: str) -> str:
    """Return the name of an instance."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", value):
        raise ValueError("Expected a name of 1 to 63 letters, digits, '-', '_' and '.'")
    return value


def check_root_path(value: str) -> str:
    """Return a path like /tasks, or an empty text."""
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        raise ValueError("Expected a path that begins with '/' and does not end with it, e.g. /tasks")
    return value


def split_bind(bind: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: if the text has another form.
    """
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not is_port(port) or (":" in host and "[" not in bind):
        raise ValueError("Expected host:port, e.g. 127.0.0.1:8000 or [::1]:8000")
    return host, int(port)


def with_port(typed: object, port: str, default: str) -> str:
    """Return the address to listen on, with this port. Its host is that of the option `--bind`, else that of `default`.

    Raises:
        ValueError: if this is not a port, or `--bind` names another one.
    """
    if not is_port(port):
        raise ValueError(f"--port is {shown(port)}: Expected a whole number from 0 to {MAX_PORT}; 0 takes a free port")
    bind = str(typed or default)
    parts = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([^:]*))?", bind)
    host, own = (parts[1], parts[2]) if parts else (f"[{bind}]", None)  # else an IPv6 address without brackets
    if typed and own is not None and own != port:
        raise ValueError(f"--bind is {shown(bind)} and --port is {port!r}: both name a port. Leave one of them out")
    return f"{host}:{port}"


def is_port(text: str) -> bool:
    """Return whether a text is the number of a port; 0 stands for a free one."""
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and int(text) <= MAX_PORT


def is_bound_to_loopback(bind: str) -> bool:
    """Return whether only this machine can reach a service that listens on `bind`."""
    name = split_bind(bind)[0].lower().removesuffix(".")
    address = literal_address(name)
    return name == "localhost" if address is None else is_loopback(address)


def is_proxy(url: str) -> bool:
    """Return whether this is the URL of a proxy, with or without a user and a password."""
    if not re.fullmatch(
        r"https?://([^@/?#\[\]\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^@:/?#\[\]\s]+)(:[0-9]{1,5})?/?", url, re.IGNORECASE
    ):
        return False
    try:
        return 0 < parse(url).port <= MAX_PORT
    except TargetInvalid:
        return False


def split_own_name(text: str) -> tuple[str, int]:
    """Return the host and the port of `host` or `host:port`. Without a port it is 0, which means every port.

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
