"""The signing keys that callbacks are checked with: given, or those of the service that is installed here."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from taskpost.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GROUP: Final = "taskpost.keys"
"""The entry point of a service that is installed here: a function that returns where keys are, and how to read them."""
MAX_FILE_BYTES: Final = 64 * 1024
HINT: Final = " For another service give its key by --key or --key-file."
KEY: Final = re.compile("whsec_[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Keys:
    """Describes where keys come from, and reads them each time, because they rotate."""

    told: str
    read: Callable[[], Sequence[str]]
    hint: str = ""
    """What to say if a signature does not fit, because nobody has named these keys."""


def find_keys(key: str | None, key_file: str | None) -> Keys:
    """Return the keys that are named, else those of a service that is installed here, else those of the environment.

    Raises:
        click.UsageError: a key that is named has another form, or the file cannot be read.
    """
    if key and key_file:
        raise click.UsageError("Give --key or --key-file.")
    if key:
        given = _checked(_split(key), "--key")
        return Keys("Signatures are checked with the key given.", lambda: given)
    if key_file:
        first = _checked(_read_file(key_file), "--key-file")
        return Keys(f"Signatures are checked with the keys of {printable(key_file)}.", _reread(key_file, first))
    return _installed() or _of_environment()


def _installed() -> Keys | None:
    for entry_point in entry_points(group=GROUP, name="local"):
        try:
            where, read = entry_point.load()()
        except Exception as error:  # noqa: BLE001 - code of others, which reads settings of others
            message = printable(str(error) or type(error).__name__)
            return Keys(f"Signatures are not checked: {message}", tuple)
        return Keys(f"Signatures are checked with the keys of {printable(where)}.", read, HINT)
    return None


def _of_environment() -> Keys:
    path = os.environ.get("TASKPOST_SIGNING_KEYS_FILE")
    if path:
        return Keys(f"Signatures are checked with the keys of {printable(path)}.", _reread(path, ()))
    given = _split(os.environ.get("TASKPOST_SIGNING_KEYS", ""))
    if not given:
        return Keys("Signatures are not checked: give --key or --key-file.", tuple)
    return Keys("Signatures are checked with TASKPOST_SIGNING_KEYS.", lambda: given)


def _reread(path: str, first: Sequence[str]) -> Callable[[], Sequence[str]]:
    """Return how to read a file at each callback: without keys in it, those before stay. A pipe is read only once."""
    last = first

    def read() -> Sequence[str]:
        nonlocal last
        with suppress(click.UsageError):
            last = _read_file(path) or last
        return last

    return read if Path(path).is_file() or not first else lambda: first


def _read_file(path: str) -> Sequence[str]:
    try:
        with Path(path).open("rb") as file:
            return _split(file.read(MAX_FILE_BYTES).decode())
    except (OSError, ValueError) as error:
        raise click.UsageError(f"The keys of {path} cannot be read: {error}.") from error


def _split(text: str) -> Sequence[str]:
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


def _checked(keys: Sequence[str], option: str) -> Sequence[str]:
    if not keys or not all(KEY.fullmatch(key) for key in keys):
        raise click.UsageError(
            f"{option}: a key looks like whsec_<base64>; `taskpost signing-key` prints the service's."
        )
    return keys
