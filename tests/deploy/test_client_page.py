"""docs/client.md and the client's README: the reference is that of the source, and the examples run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import taskpost
from taskpost import receiver

from tests.support import reference

if TYPE_CHECKING:
    from taskpost import Client

    from tests.support.fresh import Fresh

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8000"
WRITTEN = reference.PAGE.read_text(encoding="utf-8").partition(reference.BEGIN)


def examples(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


RESULT = "354224848179261915075\n"
EXAMPLES = [
    *zip(
        examples(WRITTEN[0]),
        (RESULT, r"[0-9a-f-]{36} queued\n(.*\n)*78498\n(.*\n)*", r"Task \S+ failed: .*\(timed_out\)\n"),
        strict=True,
    ),
    (examples((ROOT / "client" / "README.md").read_text())[0], RESULT),
    (examples((ROOT / "README.md").read_text())[0], RESULT),
    (examples((ROOT / "docs" / "api.md").read_text())[0], RESULT),
]


def test_the_reference_is_that_of_the_source() -> None:
    """If this fails: `.venv/bin/python -m tests.support.reference`."""
    assert WRITTEN[2].strip() == reference.render().partition(reference.BEGIN)[2].strip()


def test_all_that_a_program_can_import_is_in_the_reference() -> None:
    headings = set(re.findall(r"^### (\w+)", WRITTEN[2], re.MULTILINE))
    words = set(re.findall(r"^\| `([A-Z]\w+)` \|", WRITTEN[2], re.MULTILINE))
    assert {*taskpost.__all__, *receiver.__all__} <= headings | words
    methods = {name for name in dir(taskpost.Client) if not name.startswith("_")}
    assert set(re.findall(r"^#### Client\.(\w+)$", WRITTEN[2], re.MULTILINE)) == methods


@pytest.mark.parametrize(("example", "printed"), EXAMPLES)
def test_an_example_runs(example: str, printed: str, fresh: Fresh, served: Client) -> None:
    program = example.replace(URL, served.url)
    command = [fresh.bin / "python", "-c", program]
    done = subprocess.run(
        command, env=fresh.environment(), cwd=fresh.home, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(printed, done.stdout), done.stdout
