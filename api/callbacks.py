"""What the settings say of callbacks, for the service and for the runners that make the first try."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psutil

from api.setting_forms import split_own_name
from api.settings import SettingsError
from runner.connect import parse_sentinel
from runner.contract import Env
from runner.delivery.guard import Policy
from runner.delivery.own import is_wildcard
from runner.delivery.post import Sender
from runner.delivery.sign import KeyInvalid, parse_keys
from runner.delivery.tls import Tls, TlsFiles, TlsFilesInvalid
from runner.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from api.settings import Settings
    from runner.delivery.own import OwnAddresses

REDIS_PORT: Final = 6379
LEARN_SECONDS: Final = 30.0
"""How often our own names are resolved."""


def callback_policy(
    settings: Settings, redis_url: str, cluster: Sequence[tuple[str, int]], listening: tuple[str, int] | None
) -> Policy:
    """Return where callbacks may go. `cluster` are the hosts and ports of the API server.

    `listening` is the address that the service listens on, with the port that it has been given.
    """
    return Policy(
        allow_loopback=settings.loopback_callbacks_allowed,
        allow=settings.callback_allow,
        deny=settings.callback_deny,
        own=(
            *_redis_addresses(redis_url),
            *cluster,
            *(() if listening is None else _listening_addresses(*listening)),
            *map(split_own_name, settings.callback_own_names),
        ),
    )


def make_sender(settings: Settings, keys_file: Path | None, policy: Policy) -> Sender:
    """Return a sender whose keys and certificates are reread when their files change.

    Raises:
        SettingsError: if they cannot be used as they are now.
    """
    keys = Watched(
        () if keys_file is None else (keys_file,),
        lambda: parse_keys(_key_texts(settings) if keys_file is None else keys_file.read_text("utf-8").split()),
    )
    tls = Tls(_tls_files(settings))
    try:
        keys.current()
        if any((settings.callback_ca_file, settings.callback_certificate_file)):
            tls.context()
    except TlsFilesInvalid as error:
        raise SettingsError(f"{Env.CALLBACK_CA_FILE} and {Env.CALLBACK_CERTIFICATE_FILE}: {error}") from None
    except OSError as error:
        raise SettingsError(f"{Env.SIGNING_KEYS_FILE} cannot be read: {error}") from None
    except KeyInvalid as error:
        raise SettingsError(f"{Env.SIGNING_KEYS_FILE if keys_file else Env.SIGNING_KEYS}: {error}") from None
    proxy = settings.callback_proxy.get_secret_value()
    return Sender(keys.current, policy, tls, proxy=proxy, keep_answers=settings.callback_keep_answers)


async def keep_known(
    own: OwnAddresses, peers: Callable[[], Iterable[tuple[str, int]]], policy: Policy, environment: dict[str, str]
) -> None:
    """Resolve our own names again and again, for ever. Updates `own` and the environment of runners that start later.

    A runner cannot remember earlier addresses, so it gets them here, in case a name does not resolve there.
    `peers` returns the addresses that our connections to Redis lead to: behind a Sentinel no name says so.
    """
    while True:
        known = tuple(await own.learn(peers()))
        environment[Env.CALLBACK_POLICY] = replace(policy, own=(*policy.own, *known)).to_json()
        await asyncio.sleep(LEARN_SECONDS)


def signing_key_texts(settings: Settings) -> list[str]:
    """Return the signing keys in their text form, from the current content of their file if there is one.

    Raises:
        OSError: if the file cannot be read.
    """
    file = settings.signing_keys_file
    return _key_texts(settings) if file is None else file.read_text("utf-8").split()


def runner_environment(settings: Settings, keys_file: Path | None, policy: Policy) -> dict[str, str]:
    """Return what a runner is told of callbacks. Its pods have the files of certificates at the same paths."""
    files = {
        Env.CALLBACK_CA_FILE: settings.callback_ca_file,
        Env.CALLBACK_CERTIFICATE_FILE: settings.callback_certificate_file,
        Env.CALLBACK_KEY_FILE: settings.callback_key_file,
        Env.SIGNING_KEYS_FILE: keys_file,
    }
    environment: dict[str, str] = {name: str(path.absolute()) for name, path in files.items() if path is not None}
    if keys_file is None:
        environment[Env.SIGNING_KEYS] = " ".join(_key_texts(settings))
    return environment | {
        Env.CALLBACK_POLICY: policy.to_json(),
        Env.CALLBACK_PROXY: settings.callback_proxy.get_secret_value(),
        Env.CALLBACK_KEEP_ANSWERS: settings.callback_keep_answers,
        Env.CALLBACK_RETRY_SECONDS: " ".join(map(str, settings.callback_retry_seconds)),
    }


def _key_texts(settings: Settings) -> list[str]:
    return [key.get_secret_value() for key in settings.signing_keys]


def _tls_files(settings: Settings) -> TlsFiles:
    return TlsFiles(settings.callback_ca_file, settings.callback_certificate_file, settings.callback_key_file)


def _listening_addresses(host: str, port: int) -> Sequence[tuple[str, int]]:
    """Return the addresses of the service on this machine: all of them, if it listens on all."""
    if not is_wildcard(host):
        return ((host, port),)
    rows = (row for rows in psutil.net_if_addrs().values() for row in rows)
    found = {row.address.partition("%")[0] for row in rows if row.family in {socket.AF_INET, socket.AF_INET6}}
    return ((host, port), *((address, port) for address in sorted(found)))


def _redis_addresses(redis_url: str) -> Sequence[tuple[str, int]]:
    parts = urlsplit(redis_url)
    if parts.scheme == "redis+sentinel":
        return parse_sentinel(redis_url).sentinels
    return () if parts.hostname is None else ((parts.hostname, parts.port or REDIS_PORT),)
