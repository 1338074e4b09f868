"""Where the signing keys of a service are, and how they are exchanged. Of several keys the last is the newest."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.callbacks import signing_key_texts
from api.embedded.directory import SIGNING_KEYS_NAME, DataDirectory
from api.settings import SettingsError
from runner.contract import Env
from runner.delivery.sign import parse_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from api.settings import Settings

MOST_KEYS: Final = 8
"""Every key signs every callback, and makes its headers longer."""
MAX_FILE_BYTES: Final = 64 * 1024


class KeysFixedError(Exception):
    """The keys cannot be changed from here; the message says why, and what to do."""


@dataclass(frozen=True)
class KeyStore:
    """The keys of a service: in a file, or given by a variable (`file` is None)."""

    where: str
    file: Path | None
    given: Sequence[str] = ()

    def read(self) -> Sequence[str]:
        """Return the keys, the newest last.

        Raises:
            SettingsError: if they cannot be read, or one has a wrong form.
        """
        if self.file is None:
            return self.given
        try:
            with self.file.open("rb") as file:
                keys = file.read(MAX_FILE_BYTES).decode().split()
            parse_keys(keys)
        except OSError as error:
            raise SettingsError(f"The signing keys cannot be read: {error}") from None
        except ValueError as error:
            raise SettingsError(f"The signing keys of {self.file} cannot be used: {error}") from None
        return keys

    def add(self, key: str) -> None:
        """Add a key, which from now on signs beside the others.

        Raises:
            KeysFixedError: if the keys are not in a file that this process may write.
            SettingsError: if they cannot be read, or are too many.
        """
        self._change(lambda keys: [*keys, key])

    def retire(self) -> int:
        """Remove all keys but the newest; return how many were removed.

        Raises:
            KeysFixedError: if the keys are not in a file that this process may write.
            SettingsError: if they cannot be read.
        """
        return self._change(lambda keys: keys[-1:])

    def _change(self, change: Callable[[Sequence[str]], Sequence[str]]) -> int:
        """Replace the keys; return how many fewer they are."""
        if self.file is None:
            raise KeysFixedError(f"the keys are in {Env.SIGNING_KEYS}: set that variable, the newest key last")
        path = self.file.resolve()
        try:
            with _locked(path.parent):
                before = self.read()
                after = change(before)
                if len(after) > MOST_KEYS:
                    raise SettingsError(f"{self.file} has {len(before)} keys already. Remove the old ones by --retire")
                _replace(path, "".join(f"{key}\n" for key in after))
        except OSError as error:
            raise KeysFixedError(
                f"{self.file} cannot be written: {error.strerror}. Change the file or the Secret that it comes from: "
                "one key a line, the newest last"
            ) from None
        return len(before) - len(after)


def key_store(settings: Settings, *, make: bool) -> KeyStore:
    """Return where the keys of a service with these settings are. With `make` an embedded service's key is made.

    Raises:
        DirectoryError: if the data directory cannot be used.
    """
    if settings.signing_keys_file is not None:
        return KeyStore(str(settings.signing_keys_file), settings.signing_keys_file)
    if settings.signing_keys or not settings.embedded:
        return KeyStore(Env.SIGNING_KEYS, None, signing_key_texts(settings))
    directory = DataDirectory(settings.data_dir)
    path = directory.path / SIGNING_KEYS_NAME
    if make:
        directory.prepare()
        path = directory.signing_keys_file()
    return KeyStore(str(path), path)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the keys against other writers. The lock is a separate file, because the key file is replaced."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Write a file anew, all of it or nothing, for the same users as before."""
    before = path.stat()
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
