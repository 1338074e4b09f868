"""Where an exception was raised, in the author's own code: a real traceback each time."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.places import own_part, place_of
from runner.tasks import registry
from runner.texts import error_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    Load = Callable[[str, str], ModuleType]

HELPER = """
def check(value):
    raise ValueError(value)
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write a module below a directory that modules are imported from, and import it."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def load(file: str, text: str) -> ModuleType:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()
        name = file.rpartition("site-packages/")[2].removesuffix(".py").replace("/", ".")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def trace_of(function: Callable[[], object]) -> TracebackType | None:
    """The traceback of what a function raises, from that function on."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any
        function()
    frames = raised.value.__traceback__
    return frames.tb_next


def test_it_is_the_line_that_raises(load: Load) -> None:
    module = load("acme_one/tasks.py", "\n\ndef run():\n    raise KeyError('x')\n")
    assert place_of(trace_of(module.run)) == "acme_one/tasks.py, line 4"


def test_of_an_exception_in_a_library_it_is_the_line_that_calls_it(load: Load) -> None:
    module = load("acme_two.py", "import json\n\ndef run():\n    helper()\n\ndef helper():\n    json.loads('x')\n")
    assert place_of(trace_of(module.run)) == "acme_two.py, line 7"


def test_own_code_that_a_library_calls_counts(load: Load) -> None:
    text = "import functools\n\ndef run():\n    functools.reduce(add, [1, 2, 3])\n\ndef add(a, b):\n    raise OSError\n"
    assert place_of(trace_of(load("acme_three.py", text).run)) == "acme_three.py, line 7"


@pytest.mark.parametrize("outer", ["acme_four/tasks.py", "site-packages/acme_four/tasks.py"])
def test_installed_code_is_the_task_s_own_if_nothing_else_is(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: str
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site-packages"), *sys.path])
    load("site-packages/helper_four.py", HELPER)
    module = load(outer, "import helper_four\n\ndef run():\n    helper_four.check(1)\n")
    assert place_of(trace_of(module.run)) == "acme_four/tasks.py, line 4"


def test_a_module_that_cannot_be_imported_is_named_with_the_line(load: Load) -> None:
    load("acme_five.py", "")
    sys.modules.pop("acme_five")
    Path(importlib.util.find_spec("acme_five").origin).write_text("\nimport no_such_module_of_anybody\n")
    importlib.invalidate_caches()
    with pytest.raises(registry.TaskModuleError, match=r"No module named .* \(acme_five.py, line 2\)$"):
        registry.find("nothing", ["acme_five"])


def test_a_syntax_error_names_the_line_once(load: Load) -> None:
    with pytest.raises(SyntaxError):
        load("acme_six.py", "x = = 1\n")
    with pytest.raises(registry.TaskModuleError, match=r"SyntaxError: invalid syntax \(acme_six.py, line 1\)$"):
        registry.find("nothing", ["acme_six"])


def test_without_a_frame_of_its_own_there_is_no_place() -> None:
    assert place_of(None) == ""
    assert place_of(trace_of(lambda: registry.refer("no_such_module_of_anybody:f")).tb_next) == ""


def test_code_without_a_file_does_not_hide_the_line_that_runs_it(load: Load) -> None:
    module = load("acme_seven.py", "def run():\n    exec('1 / 0')\n")
    assert place_of(trace_of(module.run)) == "acme_seven.py, line 2"


def test_a_deep_recursion_has_a_place(load: Load) -> None:
    module = load("acme_eight.py", "def run():\n    return run()\n")
    assert place_of(trace_of(module.run)) == "acme_eight.py, line 2"


@pytest.mark.parametrize("name", ["x" * 10_000, "\udcff\x1b[31m", "/", ""])
def test_a_file_name_that_the_code_invents_is_bounded(name: str) -> None:
    code = compile("raise ValueError", name, "exec")
    trace = trace_of(lambda: exec(code))
    place = place_of(trace.tb_next)
    assert len(place) < 200
    place.encode()


def test_a_search_path_that_the_code_has_spoilt_does_no_harm(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("acme_nine.py", "def run():\n    1 / 0\n")
    monkeypatch.setattr(sys, "path", [None, b"x", 3])
    assert place_of(trace_of(module.run)) == "acme_nine.py, line 2"


def test_a_traceback_begins_with_the_task_s_own_frames(load: Load) -> None:
    module = load("acme_ten.py", "def run():\n    1 / 0\n")
    trace = trace_of(module.run)
    assert own_part(trace) is trace
    broken = trace_of(lambda: registry.find("nothing", ["no_such_module_of_anybody"])).tb_next
    assert own_part(broken) is broken, "rather too much than nothing"


def test_the_place_is_kept_when_a_message_is_cut() -> None:
    told = error_text(ValueError("x" * 5000), 100, "acme.py, line 7")
    assert len(told) == 100
    assert told.startswith("ValueError: xxx")
    assert told.endswith("x (acme.py, line 7)")
    assert error_text(ValueError(), 100, "acme.py, line 7") == "ValueError (acme.py, line 7)"
