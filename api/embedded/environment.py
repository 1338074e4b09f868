"""The environment of the processes that we start: what a program needs of its place, and nothing of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES: Final = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "LANG", "LANGUAGE",
        "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    }
)  # fmt: skip
PREFIXES: Final = ("LC_", "SSL_CERT_", "COVERAGE_")


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what is handed on of the service's own environment: none of its settings, and no secret."""
    environment = {name: value for name, value in environ.items() if name in NAMES or name.startswith(PREFIXES)}
    if "PYTHONPATH" in environment:  # it is read in another working directory
        entries = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).resolve()) for entry in entries if entry)
    return environment
