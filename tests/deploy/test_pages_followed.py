"""README and docs/task-types.md, followed word for word by somebody with a fresh clone and an empty home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

from tests.support.pages import ROOT
from tests.support.reader import Reader, clone, fresh_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]


class Fresh(NamedTuple):
    clone: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    """A clone without `.venv`, and the variables of its user; what still runs of it afterwards is a fault."""
    directory = tmp_path_factory.mktemp("fresh")
    fresh = Fresh(clone(directory / "taskpost"), fresh_environment(directory / "home"))
    yield fresh
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME") == fresh.environment["HOME"]:
                left.append(process.cmdline())
                process.kill()
        except psutil.Error:
            continue
    assert left == []


def test_the_readme_is_followed_word_for_word(fresh: Fresh) -> None:
    assert not (fresh.clone / ".venv").exists()
    with Reader(fresh.clone, fresh.environment) as reader:
        assert reader.follow(ROOT / "README.md") >= 7


def test_the_page_on_task_types_is_followed_word_for_word(fresh: Fresh) -> None:
    path = f"{fresh.clone / '.venv' / 'bin'}{os.pathsep}{fresh.environment['PATH']}"
    with Reader(fresh.clone, fresh.environment | {"PATH": path}) as reader:
        assert reader.follow(ROOT / "docs" / "task-types.md") >= 7
