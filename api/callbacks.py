"""What the settings say of callbacks, for the service and for the runners that make the first try."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psutil

from api.setting_forms import split_own_name
from api.setting_names import variable_of
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

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys that sign callbacks and the certificates, reread when their files change."""

    keys: Watched[tuple[bytes, ...]]
    tls: Tls


def read_credentials(settings: Settings, keys_file: Path | None) -> Credentials:
    """Read the signing keys (of `keys_file`, if there is one) and the certificates, and log if there are no keys.

    Raises:
        SettingsError: if they cannot be used as they are now.
    """
    keys = Watched(
        () if keys_file is None else (keys_file,),
        lambda: parse_keys(_key_texts(settings) if keys_file is None else keys_file.read_text("utf-8").split()),
    )
    named = settings.label("signing_keys_file") if settings.signing_keys_file else "The key in the data directory"
    try:
        if not keys.current():
            logger.warning("callbacks_unsigned", extra={"reason": _why_unsigned(settings)})
    except OSError as error:
        raise SettingsError(f"{named} cannot be read: {error}") from None
    except (KeyInvalid, UnicodeDecodeError) as error:
        raise SettingsError(f"{named} cannot be used: {keys_file}: {error}") from None
    return Credentials(keys, _read_tls(settings))


def _why_unsigned(settings: Settings) -> str:
    file = settings.signing_keys_file
    where = f"{variable_of('signing_keys')} is not set" if file is None else f"{file} is empty"
    return (
        f"{where}, so receivers cannot check where a callback is from. "
        "A key is whsec_ and the base64 of 32 random bytes: see docs/callbacks.md"
    )


def _read_tls(settings: Settings) -> Tls:
    files = {name: getattr(settings, name) for name in ("callback_ca_file", "callback_certificate_file")}
    tls = Tls(_tls_files(settings))
    try:
        if any(files.values()):
            tls.context()
    except TlsFilesInvalid as error:
        named = " and ".join(settings.label(name) for name, path in files.items() if path is not None)
        raise SettingsError(f"{named}: {error}") from None
    return tls


def make_sender(settings: Settings, credentials: Credentials, policy: Policy) -> Sender:
    """Return the sender of all callbacks."""
    proxy = settings.callback_proxy.get_secret_value()
    keep_answers = settings.callback_keep_answers
    return Sender(credentials.keys.current, policy, credentials.tls, proxy=proxy, keep_answers=keep_answers)


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
