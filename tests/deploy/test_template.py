"""The template for authors of task types works as its page says, for somebody who has nothing but a checkout."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.pages import ROOT, commands

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fresh import Fresh

TEMPLATE = ROOT / "docs" / "template"


def test_the_tests_of_the_template_run_in_a_fresh_environment_as_the_page_says(fresh: Fresh, tmp_path: Path) -> None:
    make, install, test = (shlex.split(command.line) for command in commands("task-types", "### 4. Their tests"))
    assert make == ["python3", "-m", "venv", ".venv"]
    needed, client, service = install[-3:]
    assert (install[:2], needed) == ([".venv/bin/pip", "install"], "pytest")
    assert (TEMPLATE / client / "pyproject.toml").exists()
    assert (TEMPLATE / service.removesuffix("[service]") / "pyproject.toml").exists()
    assert test == [".venv/bin/pytest"]
    copy = shutil.copytree(TEMPLATE, tmp_path / "template", ignore=shutil.ignore_patterns(".venv"))
    told = run_tests(fresh, copy)
    assert "3 passed" in told.stdout, told.stdout + told.stderr


def run_tests(fresh: Fresh, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [fresh.bin / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=directory,
        env=fresh.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_what_the_code_says_is_written_once() -> None:
    text = (TEMPLATE / "task-types.yaml").read_text(encoding="utf-8")
    function, _, _program = text.partition("  checksum:")
    assert "python: acme.tasks:word_count" in function
    for member in ("description", "input_schema", "example"):
        assert f"{member}:" not in function


def test_a_faulty_file_stops_the_tests_with_its_faults(fresh: Fresh, tmp_path: Path) -> None:
    copy = shutil.copytree(TEMPLATE, tmp_path / "template", ignore=shutil.ignore_patterns(".venv"))
    types = copy / "task-types.yaml"
    types.write_text(types.read_text().replace("retries: 2", "retires: 2"))
    told = run_tests(fresh, copy)
    assert told.returncode == 1
    assert "task_types.word_count.retires: unknown member; did you mean retries?" in told.stdout
