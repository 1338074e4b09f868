"""The processes of pods, as the kernel of a node on this machine has them: by their containers' control groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil


def processes_of(pods: list[dict[str, Any]]) -> list[psutil.Process]:
    """Return the processes in the containers of these pods; none if they are on another machine."""
    containers = [
        status["containerID"].rpartition("/")[2]
        for pod in pods
        for kind in ("initContainerStatuses", "containerStatuses")
        for status in pod["status"].get(kind, ())
        if "containerID" in status
    ]
    return [found for found in psutil.process_iter() if _group(found.pid).intersection(containers)]


def _group(pid: int) -> set[str]:
    """The parts of the names of a process's control groups: a container's has its id."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return set()
    return set(text.replace("-", "/").replace(".", "/").replace("\n", "/").split("/"))
