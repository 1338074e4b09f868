"""The pages of the documentation, as somebody has them who does what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Command(NamedTuple):
    """A command line of a page, and what the page says that it prints."""

    line: str
    output: str


class Block(NamedTuple):
    """A fenced block of a page: its language, and its text."""

    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def block_with(page: str, language: str, text: str) -> str:
    """The one block of a page in a language that has a text in it."""
    (found,) = (block.text for block in blocks(page) if block.language == language and text in block.text)
    return found


def commands(page: str, heading: str) -> list[Command]:
    """The commands of a section of a page, in order."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    section = re.split(r"^#{2,3} ", text.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    told = [block.partition("\n") for part in blocks for block in part.split("$ ")[1:]]
    return [Command(line, output) for line, _, output in told]


def follow(commands: list[Command], directory: Path, url: str) -> None:
    """Do what a page says with the client; what is printed is what the page says, save how far it was in between."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        told = subprocess.run(
            command.line,
            shell=True,
            cwd=directory,
            env=os.environ | {"PATH": path, "TASKPOST_URL": url},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert told.returncode == 0, told.stderr
        progress, result = re.split(r"^(?={)", command.output, maxsplit=1, flags=re.MULTILINE)
        assert json.loads(told.stdout) == json.loads(result)
        assert told.stderr.splitlines()[-1] == progress.splitlines()[-1]
