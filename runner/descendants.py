"""Finds and signals what a process has started, however it was detached: Linux only, by /proc.

Processes whose parent has died belong to the next ancestor that is a subreaper. So as long as that one lives, nothing
that its descendants start can leave its tree: not by a session or group of its own, not by forking twice.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
PASSES: Final = 20
"""How often a tree is read again while it grows: each pass stops what it finds, so few are needed."""


def become_subreaper() -> None:
    """Let descendants of this process whose parent dies become its children."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent dies; `parent` is the expected pid."""
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def signal_descendants(root: int, number: int) -> None:
    """Send a signal to all descendants of a process."""
    for pid, parent in reversed(_tree(root).items()):  # children first: while their parents are the ones that are known
        _signal(pid, parent, number)


def kill_descendants(root: int) -> None:
    """Kill all descendants of a process. They are stopped first, so that none starts another meanwhile."""
    stopped: dict[int, int] = {}
    for _ in range(PASSES):
        found = {pid: parent for pid, parent in _tree(root).items() if pid not in stopped}
        if not found:
            break
        for pid, parent in found.items():
            _signal(pid, parent, signal.SIGSTOP)
        stopped |= found
    for pid, parent in reversed(stopped.items()):
        _signal(pid, parent, signal.SIGKILL)


def _tree(root: int) -> dict[int, int]:
    """Return the pids of all descendants, each with that of its parent."""
    has_lists = Path(f"/proc/{root}/task/{root}/children").exists()  # a kernel may be built without them
    children_of = _children if has_lists else _all_children().get
    found: dict[int, int] = {}
    unread = [root]
    while unread:
        parent = unread.pop()
        children = [pid for pid in children_of(parent) or [] if pid not in found]
        found |= dict.fromkeys(children, parent)
        unread += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with suppress(OSError):  # it is over
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                children += map(int, (thread / "children").read_text(encoding="ascii").split())
    return children


def _all_children() -> dict[int, list[int]]:
    """Return the children of every process: slower, as all are read."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with suppress(OSError):
                children.setdefault(_parent_of(int(path.name)), []).append(int(path.name))
    return children


def _signal(pid: int, parent: int, number: int) -> None:
    """Signal a process while it is provably the one: the handle is of one process, and that is still a child."""
    with suppress(OSError):  # it is over, or belongs to another user
        handle = _open_handle(pid)
        try:
            if _parent_of(pid) != parent:
                return
            if handle is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(handle, number)
        finally:
            if handle is not None:
                os.close(handle)


def _open_handle(pid: int) -> int | None:
    """Return a handle of a process; None where the kernel has none (before Linux 5.3), and its pid must do."""
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        return None
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return None
        raise


def _parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), zero, zero, zero)
