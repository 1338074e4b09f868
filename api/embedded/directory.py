"""The data directory: one service's own, locked while it runs, closed to other users."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import secrets
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from api.embedded import lock
from api.embedded.errors import DirectoryError, DirectoryInUseError
from api.embedded.ownership import ROOT, fault_of, find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

SOCKET_PATH_MAX_BYTES: Final = 100
"""The kernel's own bound is 104 (macOS) or 108 (Linux), with the zero at the end."""
KEY_BYTES: Final = 32
SIGNING_KEYS_NAME: Final = "signing-keys"
ELSEWHERE: Final = "another directory by TASKPOST_DATA_DIR or --data-dir."
REMEDY: Final = f"Name {ELSEWHERE}"


class DataDirectory:
    """A context manager: the directory is made and locked on entering, and let go on leaving.

    Raises (on entering):
        DirectoryInUseError: if another service has it.
        DirectoryError: if it cannot be made or written to, or others can write to it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._given = path.expanduser().absolute()
            self.path = self._given.resolve()
        except (OSError, RuntimeError) as error:  # a loop of links, or ~ of an unknown user
            raise DirectoryError(f"{path} cannot be the data directory ({error}). {REMEDY}") from None
        self.valkey = self.path / "valkey"
        self.attempts = self.path / "attempts"
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            with _explained(self.path):
                self._enter()
        except DirectoryError:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _enter(self) -> None:
        self._prepare()
        lock_path = self.path / "service.lock"
        self._descriptor = lock.open_lock(lock_path)
        if not lock.try_lock(self._descriptor):
            pid = lock_path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
            raise DirectoryInUseError(
                f"{self.path} is in use by another Taskpost (pid {pid}). Stop that one first, or name {ELSEWHERE}"
            )
        lock.write(self._descriptor, str(os.getpid()))
        for directory in (self.valkey, self.attempts):
            directory.mkdir(mode=0o700, exist_ok=True)

    def prepare(self) -> None:
        """Make the directory if there is none, without locking it: a service may have it.

        Raises:
            DirectoryError: if it cannot be made, or others can write to it.
        """
        with _explained(self.path):
            self._prepare()

    def _prepare(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path))
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check()

    def _check(self) -> None:
        link = find(self._given)
        if link is not None and stat.S_ISLNK(link.mode) and link.owner not in {os.geteuid(), ROOT}:
            raise DirectoryError(f"{self._given} is a symbolic link that another user has made. {REMEDY}")
        fault = fault_of(self.path)
        if fault is not None:
            raise DirectoryError(f"{self.path} cannot be the data directory: {fault}; or name {ELSEWHERE}")

    def _leave(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def signing_keys_file(self) -> Path:
        """Return the file of the key that signs callbacks. The key is made once, and is this directory's from then on.

        The directory need not be locked: of two that make the key at the same time, one does.

        Raises:
            DirectoryError: if it cannot be written.
        """
        path = self.path / SIGNING_KEYS_NAME
        if not path.exists():
            with _explained(self.path):
                _write_once(path, f"{new_signing_key()}\n")
        return path

    def owner(self) -> str:
        """Return the name of the service of this directory: another one's is another, and it outlives restarts.

        Raises:
            DirectoryError: if it cannot be written.
        """
        path = self.path / "owner"
        with _explained(self.path):
            if not path.exists():
                _write_once(path, f"{secrets.token_hex(8)}\n")
            name = path.read_text(encoding="ascii", errors="replace").strip()
        if not re.fullmatch(r"[0-9a-f]{16}", name):
            raise DirectoryError(f"{path} holds {name[:40]!r}, not a name of 16 hexadecimal digits. Remove it.")
        return name

    def socket_path(self) -> Path:
        """Return where Valkey listens: in the directory, or under that of temporary files where its path is too long.

        Raises:
            DirectoryError: if the place under the temporary files is somebody else's, or its path is too long too.
        """
        path = self.valkey / "valkey.sock"
        if _fits(path):
            return path
        name = f"taskpost-{os.getuid()}-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}"
        with _explained(self.path):  # there may be no place for temporary files
            bases = (tempfile.gettempdir(), "/tmp")  # noqa: S108 - what is made there is made safe
        path = next(path for base in bases if _fits(path := Path(base, name, "valkey.sock")))
        _make_private(path.parent)
        return path


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}: {error.filename or path}"
        raise DirectoryError(f"{path} cannot be the data directory ({reason}). {REMEDY}") from error


def new_signing_key() -> str:
    """Return a new key of the form that receivers take."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _write_once(path: Path, text: str) -> None:
    """Write a file that only we can read, all of it or nothing, unless somebody else has written it first."""
    unfinished = path.with_suffix(f".{secrets.token_hex(4)}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _put(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _put(unfinished: Path, path: Path) -> None:
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        pass
    except OSError:  # there are file systems without hard links
        unfinished.rename(path)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES


def _make_private(directory: Path) -> None:
    """Make a directory where anybody can make one, and see that it is ours alone."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise DirectoryError(f"{directory} cannot be made: {error.strerror}. {REMEDY}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise DirectoryError(f"{directory} is not a directory of ours alone. Remove it, or name {ELSEWHERE}")
