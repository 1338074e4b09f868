"""A reader who does what a page of the documentation says, word for word, in a fresh environment."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.pages import ROOT, Memory, blocks_of
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from tests.support.pages import Block, Command

COMMAND_SECONDS = 600.0
SERVE_SECONDS = 120.0
EVENTUALLY_SECONDS = 60.0
ADDRESS = "127.0.0.1:8000"
KEPT = (
    "LANG",
    "LC_",
    "PIP_",
    "SSL_",
    "REQUESTS_",
    "CURL_",
    "UV_",
    "HTTP_",
    "HTTPS_",
    "NO_",
    "ALL_",
    "http_",
    "https_",
    "no_",
)
"""What a fresh environment has of ours: how the network is reached."""


def clone(directory: Path) -> Path:
    """Copy the repository as it is here, without what git ignores: what a reader has after `git clone`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, directory / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return directory


def fresh_environment(home: Path) -> dict[str, str]:
    """Return the variables of a user who has just logged in: none of ours, nothing of Taskpost, an empty home."""
    ours = str(Path(sys.prefix))
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not part.startswith(ours))
    cache = os.environ.get("PIP_CACHE_DIR") or str(Path.home() / ".cache" / "pip")
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    home.mkdir(exist_ok=True)
    return kept | {"HOME": str(home), "PATH": path, "TERM": "dumb", "PIP_CACHE_DIR": cache}


def free_address() -> str:
    """Return the address of the pages if it is free, else another: the one thing that need not be word for word."""
    for port in (int(ADDRESS.rpartition(":")[2]), 0):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"127.0.0.1:{tried.getsockname()[1]}"
    raise AssertionError("there is no free port")


class Reader:
    """Follows blocks of pages, in terminals that are closed at the end.

    `replaced` are words of the pages that are others here, for example the name of a registry.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], *, replaced: Mapping[str, str] | None = None
    ) -> None:
        self._directory = directory
        self._environment = dict(environment)
        self._replaced = dict(replaced or {})
        self._terminals: dict[tuple[str, str], Terminal] = {}
        self._memory = Memory()
        address = free_address()
        if address != ADDRESS:
            self._replaced[ADDRESS] = address
            self._environment |= {"TASKPOST_BIND": address, "TASKPOST_URL": f"http://{address}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for terminal in self._terminals.values():
            terminal.close()

    def follow(self, path: Path, heading: str = "") -> int:
        """Follow a page, or a section of it; return how many blocks had something to do."""
        return self.follow_blocks(blocks_of(path, heading))

    def follow_blocks(self, blocks: Iterable[Block]) -> int:
        """Follow blocks in order; return how many had something to do."""
        return sum(self._follow(block) for block in blocks)

    def _follow(self, block: Block) -> bool:
        rules = block.rules
        if "skip" in rules:
            assert rules["skip"], f"{block.place}: say why the block is skipped"
            return False
        if "after" in rules:
            for key in [key for key in self._terminals if key[0] == rules["after"]]:
                self._terminals.pop(key).close()
        if "file" in rules:
            self._make(block, rules["file"])
        elif "with" in rules:
            self._program(block, rules["with"])
        elif block.language == "console":
            *first, last = block.commands()
            for command in first:
                self._command(block, command, status=0)
            if "serves" in rules:
                self._serve(block, last)
            else:
                self._command(block, last, status=int(rules.get("fails", 0)))
        elif block.language == "sh":
            self._script(block)
        else:
            runs = {"python", "js", "go", "bash", "shell"}
            assert block.language not in runs, f"{block.place}: how is this block followed? See tests/support/pages.py"
            return False
        return True

    def _terminal(self, block: Block) -> Terminal:
        key = (block.rules.get("terminal", ""), block.rules.get("in", ""))
        if key not in self._terminals:
            self._terminals[key] = Terminal(self._directory / key[1], self._environment)
        return self._terminals[key]

    def _renamed(self, text: str) -> str:
        for shown, real in self._replaced.items():
            text = text.replace(shown, real)
        return text

    def _here(self, text: str) -> str:
        """Return commands of a page as they are here, with the ids that were shown before."""
        return self._memory.command(self._renamed(text))

    def _shown(self, text: str) -> str:
        """Return what a page shows as it is here; the homes of pages are the reader's."""
        for home in ("/home/user", "/root"):
            text = text.replace(home, self._environment["HOME"])
        return self._renamed(text)

    def _command(self, block: Block, command: Command, *, status: int) -> None:
        terminal, shown = self._terminal(block), self._shown(command.output)
        until = time.monotonic() + (EVENTUALLY_SECONDS if "eventually" in block.rules else 0)
        while True:
            ended, printed = terminal.run(self._here(command.line), seconds=COMMAND_SECONDS)
            if ended == status and (not shown.strip() or self._memory.fits(shown, printed)):
                return
            if time.monotonic() >= until:
                break
            time.sleep(0.2)
        raise AssertionError(
            f"{block.place}: {command.line}ended with {ended}, printed:\n{printed}\nThe page shows:\n{command.output}"
        )

    def _serve(self, block: Block, command: Command) -> None:
        shown = self._shown(command.output)
        self._terminal(block).serve(
            self._here(command.line),
            lambda printed: self._memory.fits(shown, printed, so_far=True),
            seconds=SERVE_SECONDS,
        )

    def _script(self, block: Block) -> None:
        # With -e a command that fails ends the shell, which `run` reports with all that was printed.
        status, printed = self._terminal(block).run(
            f"set -e\n{self._here(block.text)}\nset +e", seconds=COMMAND_SECONDS
        )
        assert status == 0, f"{block.place}: ended with {status}:\n{printed}"

    def _program(self, block: Block, command: str) -> None:
        terminal = self._terminal(block)
        text = f"{command} <<'THE-END-OF-THE-PROGRAM'\n{self._here(block.text)}THE-END-OF-THE-PROGRAM"
        status, printed = terminal.run(text, seconds=COMMAND_SECONDS)
        assert status == 0, f"{block.place}: ended with {status}:\n{printed}"

    def _make(self, block: Block, name: str) -> None:
        """Make a file in the directory in which the terminal is; one that is there is the same."""
        terminal = self._terminal(block)
        _, printed = terminal.run("pwd", seconds=COMMAND_SECONDS)
        path = Path(printed.strip()) / name
        if path.exists():
            assert path.read_text(encoding="utf-8") == block.text, (
                f"{block.place} is not {name} as it is in the repository"
            )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(block.text), encoding="utf-8")
