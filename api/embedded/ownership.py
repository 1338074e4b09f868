"""Checks that a data directory and its contents belong to this user only, before anything in it is read.

Who can write to it could plant signing keys, the process ids that are signalled, and the commands in Valkey's file.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT: Final = 0
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
OPEN_TO_OTHERS: Final = 0o077
FILES: Final = ("service.lock", "signing-keys", "owner")
DIRECTORIES: Final = ("valkey", "attempts")
OF_AN_ATTEMPT: Final = ("lock", "log")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a directory, as it is found. A symbolic link is not followed."""

    path: Path
    mode: int
    owner: int
    is_mount: bool = False


def find(path: Path) -> Entry | None:
    """Return what is at a path, or None if nothing is.

    Raises:
        OSError: if it cannot be looked at.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return Entry(path, found.st_mode, found.st_uid, path.is_mount())


def fault_of_parents(path: Path) -> str | None:
    """Return the problem of a directory above that lets other users replace `path`, or None."""
    for parent in path.parents:
        found = find(parent)
        if found and found.mode & stat.S_IWOTH and not found.mode & stat.S_ISVTX and not _is_volume(found):
            return f"everybody can replace what is in {_shown(found)}: run `chmod o-w {_quoted(found)}`"
    return None


def fault_of_directory(entry: Entry, user: int) -> str | None:
    """Return why other users can change a directory, or None.

    Root's is accepted where others cannot replace what is in it: a volume of a container, or a directory like /tmp.
    What is in it must be the user's all the same.
    """
    if entry.owner not in {user, ROOT}:
        return _not_ours(entry, user)
    if not entry.mode & WRITABLE_BY_OTHERS or _is_volume(entry):
        return None
    if entry.owner == ROOT and entry.mode & stat.S_ISVTX:
        return None
    return f"others can write to {_shown(entry)}: check its contents, then run `chmod go-w {_quoted(entry)}`"


def fault_of_part(entry: Entry, user: int) -> str | None:
    """Return why an entry of a data directory may come from another user, or None."""
    if stat.S_ISLNK(entry.mode):
        return f"{entry.path} is a symbolic link, which is not followed: remove it"
    if not (stat.S_ISREG(entry.mode) or stat.S_ISDIR(entry.mode) or stat.S_ISSOCK(entry.mode)):
        return f"{_shown(entry)} is neither a file nor a directory: remove it"
    if entry.owner != user:
        return _not_ours(entry, user)
    if entry.mode & WRITABLE_BY_OTHERS and not stat.S_ISSOCK(entry.mode):
        return f"others can write to {_shown(entry)}: check its contents, then run `chmod go-w {_quoted(entry)}`"
    return None


def fault_of(path: Path) -> str | None:
    """Return why an existing directory cannot be trusted, with the command that repairs it, or None if it can.

    Raises:
        OSError: if something cannot be looked at.
    """
    user, top = os.geteuid(), find(path)
    fault = fault_of_parents(path) or (top and fault_of_directory(top, user))
    if fault or top is None:
        return fault or None
    for part in _parts(path):
        fault = fault_of_part(_tightened(part, top), user)
        if fault:
            return fault
    return None


def _parts(path: Path) -> Iterator[Entry]:
    """Yield everything in a data directory that is read. The working directories of tasks are not."""
    for name in (*FILES, *DIRECTORIES):
        yield from _present(path / name)
    for entry in _within(path / "valkey"):
        yield entry
        yield from _within(entry.path)
    for entry in _within(path / "attempts"):
        yield entry
        if stat.S_ISDIR(entry.mode):
            for name in OF_AN_ATTEMPT:
                yield from _present(entry.path / name)


def _within(directory: Path) -> Iterator[Entry]:
    entry = find(directory)
    if entry is not None and stat.S_ISDIR(entry.mode):
        for path in sorted(directory.iterdir()):
            yield from _present(path)


def _present(path: Path) -> Iterator[Entry]:
    entry = find(path)  # Valkey, which may run, removes files
    if entry is not None:
        yield entry


def _tightened(entry: Entry, top: Entry) -> Entry:
    """Remove the permissions of others from a file, if only its owner could reach it until now (a lax umask)."""
    if not stat.S_ISREG(entry.mode) or entry.owner != os.geteuid() or not entry.mode & WRITABLE_BY_OTHERS:
        return entry
    above = find(entry.path.parent)
    if top.mode & OPEN_TO_OTHERS and (above is None or above.mode & OPEN_TO_OTHERS):
        return entry
    mode = entry.mode & ~WRITABLE_BY_OTHERS
    entry.path.chmod(stat.S_IMODE(mode))
    return Entry(entry.path, mode, entry.owner)


def _is_volume(entry: Entry) -> bool:
    """Return whether root has mounted it. Such a directory may be open to all, like a volume in a container."""
    return entry.is_mount and entry.owner == ROOT


def _not_ours(entry: Entry, user: int) -> str:
    me = _name(user)
    return (
        f"{_shown(entry)} belongs to {_name(entry.owner)}, and this process is {me}'s: run the service as "
        f"{_name(entry.owner)}, or, if you know where its contents are from, `chown -R {me} {_quoted(entry)}`"
    )


def _shown(entry: Entry) -> str:
    return f"{entry.path} ({stat.filemode(entry.mode)}, owner {_name(entry.owner)})"


def _quoted(entry: Entry) -> str:
    return shlex.quote(str(entry.path))


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
