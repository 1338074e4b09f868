"""What authors of task types import is typed: the template passes mypy, and a mistake in a task's code does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[4] / "docs" / "template"
SNIPPET = """
from typing import assert_type
from collections.abc import Callable
from pydantic import BaseModel
from runner import Fail, Progress, Retry, task_type
from runner.tasks.inputs import Integer, TaskInput

class Input(TaskInput):
    n: Integer = 3

@task_type
def bare(task_input: Input, progress: Progress) -> int:
    assert_type(task_input.n, int)
    for item in progress.track(["a"]):
        progress(50, item.upper())
    if task_input.n > 3:
        raise Fail("too_many", "There are too many")
    raise Retry(5, "not yet")

@task_type("called", example={"n": 1}, default_timeout_seconds=lambda given: 60.0)
def called(task_input: Input) -> int:
    return task_input.n

assert_type(called(Input(n=1)), int)

@task_type("wrong", exmaple={"n": 1})  # an argument
def wrong() -> None: ...

@task_type
def mistakes(task_input: Input, progress: Progress) -> int:
    progress("50")  # an argument
    progress(50, 3)  # an argument
    if task_input.m:  # a member
        raise Retry("rate limited")  # an argument
    raise Fail("no_text")  # an argument
"""


def mypy(directory: Path, *names: str) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", *names]
    cache = ["--cache-dir", str(directory / "cache")]
    return subprocess.run([*command, *cache], cwd=directory, capture_output=True, text=True, check=False).stdout


@pytest.mark.timeout(300)
def test_a_mistake_does_not_pass_mypy(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SNIPPET)
    said = mypy(tmp_path, "program.py")
    found = {int(number) for number in re.findall(r"^program\.py:(\d+): error:", said, re.MULTILINE)}
    marked = {number for number, line in enumerate(SNIPPET.splitlines(), 1) if re.search(r"# an? \w+$", line)}
    assert found == marked, said
    assert len(marked) == 6


@pytest.mark.timeout(300)
def test_the_template_passes_mypy(tmp_path: Path) -> None:
    (tmp_path / "acme").symlink_to(TEMPLATE / "acme")
    assert mypy(tmp_path, "-p", "acme") == ""
