"""What the code of a function says of it, asked in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import yaml

from api import described
from api.catalog import LOOK_SECONDS, Catalog
from api.commands.check_types import check_types
from api.described import Descriptions, ask
from api.settings import read_settings
from api.type_file import check_type_file, fault_lines
from tests.support.service import eventually

MODULE = '''
import os
print("this is no part of what is told")
from pydantic import Field
from runner import task_type
from runner.tasks.inputs import TaskInput

class Text(TaskInput):
    text: str = Field(examples=["to be"])

class Odd(TaskInput):
    when: object = Field(default=object())

@task_type("any_name", example={"text": "a"})
def count(task_input: Text, progress):
    """Count words.

    More."""

@task_type
def counts(task_input: Text, progress):
    """Count them."""

def add(a: int, b: int = 2):
    """Add numbers."""
    return a + b

def odd(task_input: dict, progress, *rest): ...
'''


@pytest.fixture
def modules(tmp_path):
    directory = tmp_path / "modules"
    directory.mkdir()
    (directory / "acme_said.py").write_text(MODULE)
    (directory / "acme_broken.py").write_text("1 / 0")
    (directory / "acme_ends.py").write_text("import os; os._exit(3)")
    return directory


def test_one_reference_stops_no_other(modules):
    said = ask(
        ["acme_said:count", "acme_said:add", "acme_said:none", "acme_said:odd", "acme_broken:x", "gone:x"], str(modules)
    )
    assert said["acme_said:count"]["description"] == "Count words."
    assert said["acme_said:count"]["example"] == {"text": "a"}
    assert said["acme_said:add"]["input_schema"]["required"] == ["a"]
    assert "example" not in said["acme_said:add"]
    errors = {reference: one["error"] for reference, one in said.items() if "error" in one}
    assert "has no function 'none'" in errors["acme_said:none"]
    assert "it takes *args" in errors["acme_said:odd"]
    assert "ZeroDivisionError" in errors["acme_broken:x"]
    assert "No module named 'gone'" in errors["gone:x"]


def test_code_that_ends_its_process_is_told(modules):
    said = ask(["acme_ends:x", "acme_said:add"], str(modules))
    assert "ended without an answer" in said["acme_ends:x"]["error"]


def test_code_that_hangs_is_given_up(modules, monkeypatch):
    monkeypatch.setattr(described, "ASK_SECONDS", 0.5)
    gate = modules / "gate"
    os.mkfifo(gate)
    (modules / "acme_hangs.py").write_text(f"open({str(gate)!r}).read()")
    assert "takes more than 0.5 seconds" in ask(["acme_hangs:x"], str(modules))["acme_hangs:x"]["error"]


def test_what_is_secret_is_not_given_to_it(modules, monkeypatch):
    monkeypatch.setenv("TASKPOST_REDIS_URL", "redis://:hush@x")
    (modules / "acme_env.py").write_text("import os\ndef x(): ...\nx.__doc__ = str('TASKPOST_REDIS_URL' in os.environ)")
    assert ask(["acme_env:x"], str(modules))["acme_env:x"]["description"] == "False"


def test_nothing_is_asked_if_there_is_nothing_to_ask(monkeypatch):
    monkeypatch.setattr(described, "ask", None)
    assert Descriptions([])([]) == {}


FILE = """
task_types:
  one: {python: 'acme_said:count', retries: 3}
  two: {python: 'acme_said:counts', description: Mine}
  three: {python: 'acme_said:add', input_schema: {type: object}}
"""


def test_what_the_file_leaves_out_is_what_the_code_says(tmp_path, modules):
    path = tmp_path / "types.yaml"
    path.write_text(FILE)
    found = check_type_file(path, {}, {}, describe=Descriptions([str(modules)]))
    assert fault_lines(found) == []
    one, two, three = (found.definitions[name] for name in ("one", "two", "three"))
    assert (one.description, one.example, one.retry.retries) == ("Count words.", {"text": "a"}, 3)
    assert (two.description, two.example) == ("Mine", {"text": "to be"})
    assert (three.description, three.input_schema) == ("", {"type": "object"})


def test_what_it_cannot_say_is_wrong_at_the_schema(tmp_path, modules):
    path = tmp_path / "types.yaml"
    path.write_text("task_types: {one: {python: 'acme_said:ad'}, two: {python: 'gone:x'}}")
    one, two = fault_lines(check_type_file(path, {}, {}, describe=Descriptions([str(modules)])))
    assert one.startswith("task_types.one.input_schema: ") and "did you mean add?" in one
    assert two.startswith("task_types.two.input_schema: ") and "No module named 'gone'" in two


def test_a_service_that_runs_does_not_wait_for_code(tmp_path, modules, monkeypatch):
    path = tmp_path / "types.yaml"
    path.write_text("task_types: {}")
    catalog = Catalog(read_settings(task_types_file=path, data_dir=tmp_path, task_path=str(modules)))
    before = catalog()
    gate = modules / "gate"
    os.mkfifo(gate)
    (modules / "acme_slow.py").write_text(f"open({str(gate)!r}).read()\ndef x(a: int): ...")

    def look():
        monkeypatch.setattr(catalog, "_looked_at", time.monotonic() - LOOK_SECONDS - 1)
        return catalog()

    path.write_text("task_types: {slow: {python: 'acme_slow:x'}, good: {python: 'a:b', input_schema: {}}}")
    assert look() is before
    gate.write_text("go on")
    types = eventually(lambda: (found := look()) is not before and found)
    assert {"slow", "good"} <= types.keys()
    assert types["slow"].input_schema["required"] == ["a"]


def test_a_check_writes_the_file_that_a_cluster_needs(tmp_path, modules, monkeypatch):
    monkeypatch.setenv("TASKPOST_TASK_PATH", str(modules))
    path, complete = tmp_path / "types.yaml", tmp_path / "complete.yaml"
    path.write_text(FILE)
    assert json.loads(check_types(str(path), as_json=True, output=str(complete)))["valid"]
    monkeypatch.delenv("TASKPOST_TASK_PATH")
    assert fault_lines(check_type_file(complete, {}, {})) == []
    one = yaml.safe_load(complete.read_text())["task_types"]["one"]
    assert (one["description"], one["example"], one["retries"]) == ("Count words.", {"text": "a"}, 3)
    with pytest.raises(ValueError, match="/no/such/file cannot be written"):
        check_types(str(complete), as_json=True, output="/no/such/file")


def test_definitions_for_people_name_plain_functions_too(modules):
    told = subprocess.run(
        [sys.executable, "-m", "runner", "describe", "acme_said:add"],
        cwd=modules,
        capture_output=True,
        text=True,
        check=True,
    )
    assert yaml.safe_load(told.stdout)["task_types"]["add"]["python"] == "acme_said:add"
