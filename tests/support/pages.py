"""The pages of the documentation: their blocks of code, and what these say that a reader sees.

A comment above a block tells how tests follow it. Readers do not see it, since Markdown does not render comments:

    <!-- test: serves -->

| | |
|---|---|
| `skip REASON` | the block is not followed |
| `file PATH` | the block is the text of this file, which is made, or is in the repository already |
| `with COMMAND` | the block is the text of a program for this command, for example `.venv/bin/python` |
| `serves` | its last command goes on until the end of the page; what it prints first is what the block shows |
| `eventually` | its commands are repeated until they print what the block shows |
| `fails STATUS` | its last command ends with this exit code |
| `terminal NAME` | its commands are typed into another terminal |
| `in PATH` | its commands are typed into a terminal in this directory |
| `after NAME` | before it, what goes on in the terminal NAME is ended by Ctrl-C |

Without one, the commands of `console` (after `$ `) and `sh` blocks are run. Where a `console` block shows what a
command prints, it prints that.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?P<comments>(?:<!-- test: [^\n]+ -->\n+)*)```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
COMMENT = re.compile(r"<!-- test: (\w+) ?(.*) -->")
RULES = frozenset({"skip", "file", "with", "serves", "eventually", "fails", "terminal", "in", "after"})
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)


class Command(NamedTuple):
    """A command line of a page, and what the page says that it prints."""

    line: str
    output: str


class Block(NamedTuple):
    """A block of code: where it is, its language, its text, and what its comments say of following it."""

    place: str
    heading: str
    language: str
    text: str
    rules: dict[str, str]

    def commands(self) -> list[Command]:
        """Return the commands of a `console` block. A line that ends with `\\` goes on in the next one."""
        told: list[Command] = []
        for line in self.text.splitlines(keepends=True):
            if line.startswith("$ "):
                told.append(Command(line[2:], ""))
            elif not told:
                raise AssertionError(f"{self.place}: a console block begins with a command, after `$ `")
            elif told[-1].line.endswith("\\\n"):
                told[-1] = Command(told[-1].line + line, "")
            else:
                told[-1] = told[-1]._replace(output=told[-1].output + line)
        return told


def blocks_of(path: Path, heading: str = "") -> list[Block]:
    """Return the blocks of a page in order, or those of one section and the sections below it."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start("language")]
        place = f"{path.name}:{before.count(chr(10)) + 1}"
        rules = dict(COMMENT.findall(match["comments"]))
        assert rules.keys() <= RULES, f"{place}: {sorted(rules.keys() - RULES)} is not a rule of tests/support/pages.py"
        headings = HEADING.findall(FENCE.sub("", before))
        found.append(Block(place, headings[-1] if headings else "", match["language"], match["text"], rules))
    assert len(found) == len(re.findall(r"^```", text, re.MULTILINE)) // 2, f"{path.name} has a block that does not end"
    if heading:
        within = _section(text, heading)
        found = [block for block in found if block.text in within]
        assert found, f"{path.name} has no block below {heading!r}"
    return found


def _section(text: str, heading: str) -> str:
    """Return what is below a heading (without its `#`), with the sections below it."""
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert match is not None, f"there is no heading {heading!r}"
    return re.split(rf"^#{{1,{len(match[1])}}} ", text[match.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(page: str) -> list[Block]:
    """Every fenced block of a page of `docs/`, in order."""
    return blocks_of(ROOT / "docs" / f"{page}.md")


def block_with(page: str, language: str, text: str) -> str:
    """The one block of a page in a language that has a text in it."""
    (found,) = (block.text for block in blocks(page) if block.language == language and text in block.text)
    return found


TOKEN = re.compile(
    r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|(?P<moment>\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:\d\d)?)"
    r"|(?P<duration>\b\d+(?:\.\d+)?(?= ?(?:ms|s|min|seconds?|minutes?)\b))"
    r"|(?P<signature>\bv1,[\w+/]{40,}=*)"
    r"|(?P<key>\bwhsec_[\w+/]{20,}=*)"
    r"|(?P<unix>\b1[6-9]\d{8}\b)"
    r"|(?P<rest>\.\.\.|…)"
)
PATTERNS = {
    "moment": r"\d{4}-\d\d-\d\d[T ]?[\d:.]+(?:Z|[+-]\d\d:\d\d)?",
    "duration": r"\d+(?:\.\d+)?",
    "signature": r"v1,[\w+/]{40,}=*",
    "key": r"whsec_[\w+/]{20,}=*",
    "unix": r"\d{10}",
    "rest": r".*?",
}
ESCAPES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
IN_BETWEEN = re.compile(
    r"^(?:\S+: (?:queued|starting|running)\b|\d{4}-\d\d-\d\dT[\d:.]+Z (?:DEBUG|INFO|WARNING)\b).*\n?", re.MULTILINE
)


def squeezed(text: str) -> str:
    """Return a text without white space, colours, and what depends on time: lines of progress and of the log."""
    return re.sub(r"\s+", "", IN_BETWEEN.sub("", ESCAPES.sub("", text)))


class Memory:
    """What the ids of a page are where it is followed: the first time that one is shown, it is learnt."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def command(self, line: str) -> str:
        """Return a command with the ids that are there."""
        for shown, real in self._ids.items():
            line = line.replace(shown, real)
        return line

    def fits(self, shown: str, printed: str, *, so_far: bool = False) -> bool:
        """Return whether a page shows what was printed, or (`so_far`) the beginning of it; learn the ids if it does.

        Line breaks may differ, times and signatures are others, and `...` stands for anything.
        """
        pattern, names = self._pattern(shown)
        match = re.match(pattern if so_far else rf"{pattern}\Z", squeezed(printed), re.DOTALL)
        if match is not None:
            self._ids |= {name: match[group] for name, group in names.items()}
        return match is not None

    def _pattern(self, shown: str) -> tuple[str, dict[str, str]]:
        shown = IN_BETWEEN.sub("", shown)
        parts, names, end = [], {}, 0
        for match in TOKEN.finditer(shown):
            parts.append(re.escape(re.sub(r"\s+", "", shown[end : match.start()])))
            end, kind = match.end(), match.lastgroup or ""
            if kind != "id":
                parts.append(PATTERNS[kind])
            elif match[0] in self._ids:
                parts.append(re.escape(self._ids[match[0]]))
            elif match[0] in names:
                parts.append(f"(?P={names[match[0]]})")
            else:
                names[match[0]] = f"id{len(names)}"
                parts.append(f"(?P<{names[match[0]]}>[0-9a-f-]{{36}})")
        parts.append(re.escape(re.sub(r"\s+", "", shown[end:])))
        return "".join(parts), names


def commands(page: str, heading: str) -> list[Command]:
    """The commands of a section of a page, in order."""
    blocks = blocks_of(ROOT / "docs" / f"{page}.md", heading.lstrip("# "))
    return [
        Command(command.line.rstrip("\n"), command.output)
        for block in blocks
        if block.language == "console"
        for command in block.commands()
    ]


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
