"""`taskpost signing-key`: print the key that receivers check signatures with, and exchange it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from taskpost.cli.faults import ExitCode, Failure
from taskpost.cli.options import json_option
from taskpost.cli.output import print_json

from api.embedded.directory import new_signing_key
from api.embedded.errors import EmbeddedError
from api.settings import SettingsError, read_settings
from api.signing_keys import KeysFixedError, KeyStore, key_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@click.command("signing-key")
@click.option("--rotate", is_flag=True, help="Make the next key: it signs beside those before, until --retire.")
@click.option("--retire", is_flag=True, help="Remove all keys but the newest, once all receivers have it.")
@click.option("--all", "show_all", is_flag=True, help="Print all keys that sign, the newest last.")
@click.option("--data-dir", type=click.Path(), help="Data directory of the service, if TASKPOST_DATA_DIR is not set.")
@json_option
def signing_key(*, rotate: bool, retire: bool, show_all: bool, data_dir: str | None, as_json: bool) -> None:
    """Print the key that receivers need.

    It is that of the service with this user's settings (TASKPOST_SIGNING_KEYS, TASKPOST_SIGNING_KEYS_FILE, else the
    file signing-keys in the data directory, which is created if missing). To exchange it: --rotate, give the new key to
    all receivers, then --retire. A service that runs takes the change up within seconds.
    """
    if rotate and retire:
        raise click.UsageError("--rotate and --retire are two steps: between them the receivers get the new key.")
    try:
        store = key_store(read_settings(data_dir=None if data_dir is None else Path(data_dir)), make=True)
        keys = list(store.read())
        if rotate:
            keys = _rotate(store, keys)
        elif retire:
            _retire(store)
            keys = keys[-1:]
        _check_any(store, keys)
    except SettingsError as error:
        raise Failure(str(error), ExitCode.USAGE) from error
    except EmbeddedError as error:
        raise Failure(str(error), ExitCode.FAILED) from error
    if as_json:
        print_json({"key": keys[-1], "keys": keys, "where": store.where})
    else:
        for key in keys if show_all else keys[-1:]:
            click.echo(key)


def local_keys() -> tuple[str, Callable[[], Sequence[str]]]:
    """Return where the keys of the service with this user's settings are, and how to read them: for `taskpost listen`.

    The file of an embedded service need not exist yet.

    Raises:
        SettingsError, EmbeddedError: if the settings are wrong, or name no keys.
    """
    store = key_store(read_settings(), make=False)
    if store.file is None:
        _check_any(store, store.read())
    return store.where, lambda: _kept(store)


def _check_any(store: KeyStore, keys: Sequence[str]) -> None:
    if not keys:
        raise SettingsError(
            f"There is no key in {store.where}: callbacks are not signed. `taskpost signing-key --rotate` makes one"
        )


def _kept(store: KeyStore) -> Sequence[str]:
    try:
        return store.read()
    except SettingsError:
        return ()


def _rotate(store: KeyStore, keys: Sequence[str]) -> list[str]:
    key = new_signing_key()
    try:
        store.add(key)
    except KeysFixedError as error:
        click.echo(f"The new key is NOT in force: {error}.", err=True)
    else:
        if keys:
            earlier = _number(len(keys), "earlier key")
            click.echo(f"The new key signs beside {earlier}. Give it to all receivers,", err=True)
            click.echo("then remove the earlier ones: taskpost signing-key --retire", err=True)
        else:
            click.echo("The new key signs from now on. Give it to all receivers.", err=True)
    return [*keys, key]


def _retire(store: KeyStore) -> None:
    try:
        removed = store.retire()
    except KeysFixedError as error:
        raise Failure(f"Nothing was removed: {error}.", ExitCode.FAILED) from error
    click.echo(f"{_number(removed, 'key')} removed.", err=True)


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
