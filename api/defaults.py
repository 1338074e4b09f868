"""The defaults of settings that are found out, not written down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
CONCURRENCY_IN_A_CLUSTER = 10


def default_data_directory() -> Path:
    """The XDG data directory of Taskpost: `$XDG_DATA_HOME/taskpost`, else `~/.local/share/taskpost`."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "taskpost"


def default_executor() -> Literal["local", "kubernetes"]:
    """Kubernetes where a service account's token is mounted, a subprocess elsewhere."""
    return "kubernetes" if SERVICE_ACCOUNT_TOKEN.exists() else "local"


def default_concurrency() -> int:
    """The CPUs of this machine, where it does the work; in a cluster ten, for other machines do it."""
    return CONCURRENCY_IN_A_CLUSTER if default_executor() == "kubernetes" else os.cpu_count() or 1
