"""Which process a pid means: looked at again before each signal, for a pid is used again and a start is not."""

from __future__ import annotations

import json
import os
import select
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, beyond doubt: a pid is used again, but not with the same start."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """Return who has this pid now, or None if nobody has."""
    try:
        return Identity(pid, _started(pid))
    except (OSError, psutil.Error):
        return None


def open_handle(identity: Identity) -> int | None:
    """Return a descriptor of exactly this process, or None if it is over, or where there are none (Linux 5.3)."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        handle = os.pidfd_open(identity.pid)
    except OSError:
        return None
    if identify(identity.pid) == identity:
        return handle
    os.close(handle)
    return None


def wait_handle(handle: int) -> None:
    """Block until the process of a handle is over, and close the handle."""
    ended = select.poll()
    ended.register(handle, select.POLLIN)
    ended.poll()
    os.close(handle)


def _started(pid: int) -> str:
    if sys.platform == "linux":
        # psutil's time of creation moves there when the clock is set. Ticks since this very boot do not.
        fields_after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        return f"{_boot()}/{fields_after_name.split()[19]}"
    return repr(psutil.Process(pid).create_time())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # some sandboxes have none
        return ""


def parse_identity(text: str) -> Identity | None:
    """Read what a lock's file says, or return None if that is not an identity."""
    try:
        pid, started = (json.loads(text)[name] for name in ("pid", "started"))
    except (ValueError, TypeError, LookupError):
        return None
    return Identity(pid, started) if type(pid) is int and pid > 1 and isinstance(started, str) else None


def format_identity(identity: Identity) -> str:
    """Return what `parse_identity` reads."""
    return json.dumps(asdict(identity))
