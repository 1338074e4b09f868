"""A program of a container type, for a laptop: does what its input says. In a container tests/e2e/program does it.

Its input is `{"do": [[verb, ...], ...]}`. What `look` and `call` find is a list in result.json once `report` is done.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

DIRECTORY = Path(os.environ["TASKPOST_DIRECTORY"])


class Program:
    def __init__(self) -> None:
        self._found: list[str] = []

    def write(self, name: str, text: str, times: int = 1) -> None:
        with (DIRECTORY / name).open("w") as file:
            for _ in range(times):
                file.write(text)

    def write_hex(self, name: str, digits: str) -> None:
        (DIRECTORY / name).write_bytes(bytes.fromhex(digits))

    def copy(self, name: str, to: str) -> None:
        (DIRECTORY / to).write_bytes((DIRECTORY / name).read_bytes())

    def link(self, name: str, target: str) -> None:
        (DIRECTORY / name).symlink_to(target)

    def fifo(self, name: str) -> None:
        os.mkfifo(DIRECTORY / name)

    def mkdir(self, name: str) -> None:
        (DIRECTORY / name).mkdir()

    def grow(self, name: str, text: str, seconds: float) -> None:
        """Append to a file for a while, without a pause."""
        until = time.monotonic() + seconds
        with (DIRECTORY / name).open("w") as file:
            file.write(text)
            while time.monotonic() < until and file.tell() < 100_000_000:
                file.write(" x" * 10_000)

    def say(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def ignore_sigterm(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def exit(self, code: int) -> None:
        sys.stdout.flush()
        os._exit(code)

    def kill(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def look(self, pattern: str) -> None:
        """Read all files of a name, `*` allowed; those that cannot be read are none."""
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            with suppress(OSError):
                self._found.append(f"{path}: {path.read_bytes()[:100_000].decode('utf-8', 'replace')}")

    def environment(self) -> None:
        self._found += [f"{name}={value}" for name, value in sorted(os.environ.items())]

    def call(self, host: str, port: int, words: str) -> None:
        """Connect, say something, and keep what is answered."""
        with suppress(OSError), socket.create_connection((host, port), timeout=3) as connection:
            connection.sendall(words.encode())
            self._found.append(f"{host}:{port}: {connection.recv(100_000).decode('utf-8', 'replace')}")

    def report(self) -> None:
        (DIRECTORY / "result.json").write_text(json.dumps(self._found))


def main() -> None:
    program = Program()
    steps: list[list[Any]] = json.loads((DIRECTORY / "input.json").read_text())["do"]
    for verb, *words in steps:
        getattr(program, verb)(*words)


if __name__ == "__main__":
    main()
