"""The working directory of an attempt on one machine, which is the attempt's own."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from runner.contract import Env


class Workspace:
    """The working directory, if it is in the directory of the attempt; in a container it is not."""

    def __init__(self) -> None:
        lock_file, here = os.environ.get(Env.LOCK_FILE), Path.cwd()
        self._path = here if lock_file and Path(lock_file).parent == here.parent else None

    def empty(self) -> None:
        """Remove its contents: recording the outcome may need the space."""
        if self._path is None:
            return
        with suppress(OSError):  # then the service removes it, later
            for path in self._path.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
