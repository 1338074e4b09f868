"""Cuts zero bytes that a power loss has left off the end of Valkey's newest file of commands, and keeps a copy."""

from __future__ import annotations

import mmap
import os
import re
import shlex
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.embedded.aof import Damage, examine
from api.embedded.errors import ValkeyError

if TYPE_CHECKING:
    from pathlib import Path

FILES: Final = "appendonlydir"
MANIFEST: Final = "appendonly.aof.manifest"
COPIES: Final = "damaged"
MAX_COPIES: Final = 3
_INCREMENT: Final = re.compile(r"^file (?P<name>[^\s/\"]+) seq [0-9]+ type i\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair: `cut_bytes` were cut off `file` at `offset`; `copy` has the earlier file, or only the part cut off."""

    file: Path
    offset: int
    cut_bytes: int
    copy: Path


def repair(directory: Path) -> Repair | None:
    """Repair the files of a Valkey that is not running and could not start. May take seconds.

    Returns None if none of its files of commands is damaged.

    Raises:
        ValkeyError: if they are damaged otherwise than at the very end, or no copy can be kept.
    """
    files = _increments(directory)
    for file in files:
        damage = _examine(file)
        if damage is None:
            continue
        if not damage.is_tail or file != files[-1]:
            raise ValkeyError(_refusal(file, damage))
        return _cut(file, damage, directory / COPIES)
    return None


def _increments(directory: Path) -> list[Path]:
    """The files of commands, oldest first, as Valkey's list of them (its manifest) has them."""
    try:
        text = (directory / FILES / MANIFEST).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [directory / FILES / name for name in _INCREMENT.findall(text)]


def _examine(path: Path) -> Damage | None:
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return examine(data)
    except FileNotFoundError:
        return None


def _cut(file: Path, damage: Damage, copies: Path) -> Repair:
    size = file.stat().st_size
    try:
        copy = _keep(file, damage.offset, copies)
    except OSError as error:
        raise ValkeyError(
            f"{file} ends with zero bytes from byte {damage.offset} on, as after a power loss. They are cut off "
            f"only when a copy can be kept in {copies}, and it cannot: {error.strerror or error}"
        ) from error
    descriptor = os.open(file, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, damage.offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return Repair(file, damage.offset, size - damage.offset, copy)


def _keep(file: Path, offset: int, copies: Path) -> Path:
    """Copy a file, or only the part to be cut if the disk has no room. The last few copies are kept."""
    copies.mkdir(mode=0o700, exist_ok=True)
    numbers = sorted(int(path.name.partition("-")[0]) for path in copies.iterdir() if _is_copy(path))
    for number in numbers[: max(0, len(numbers) - MAX_COPIES + 1)]:
        for path in copies.glob(f"{number}-*"):
            path.unlink()
    number = numbers[-1] + 1 if numbers else 1
    try:
        return _copy(file, 0, copies / f"{number}-{file.name}")
    except OSError:
        return _copy(file, offset, copies / f"{number}-{file.name}.from-{offset}")


def _copy(file: Path, offset: int, copy: Path) -> Path:
    try:
        with file.open("rb") as source, copy.open("xb") as target:
            source.seek(offset)
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    return copy


def _is_copy(path: Path) -> bool:
    return path.name.partition("-")[0].isdecimal() and stat.S_ISREG(path.lstat().st_mode)


def _refusal(file: Path, damage: Damage) -> str:
    quoted = shlex.quote(str(file))
    return (
        f"{file} is damaged at byte {damage.at}, and what is behind that is more than the remains of one write, so "
        "nothing is cut off it. Restore the data directory from a backup. Or keep a copy "
        f"(`cp -a {quoted} {quoted}.copy`) and lose all that was written after byte {damage.offset}: "
        f"`truncate -s {damage.offset} {quoted}`, then start again."
    )
