"""A type that is wrong takes down no other, no route and no service that starts, and it is not taken for removed."""

from __future__ import annotations

import os
import time

import pytest

from api.catalog import LOOK_SECONDS, Catalog
from api.core.task_types import TaskTypes, why_unusable
from api.settings import SettingsError, read_settings
from api.type_check import EntryCheck
from runner.tasks.registry import BUILT_IN

GOOD, BAD = "{python: 'a:b', input_schema: {}}", "{python: 'a b', retries: many}"


class File:
    """The file, and a catalog of it that looks at it each time."""

    def __init__(self, tmp_path, monkeypatch, text, **settings):
        self.path = tmp_path / "types.yaml"
        self.path.write_text(text)
        self._monkeypatch = monkeypatch
        self._written = 0
        self.catalog = Catalog(read_settings(task_types_file=self.path, data_dir=tmp_path, **settings))

    def becomes(self, text):
        self.path.write_text(text)
        self._written += 1
        os.utime(self.path, (self._written, self._written))
        return self.look()

    def look(self):
        self._monkeypatch.setattr(self.catalog, "_looked_at", time.monotonic() - LOOK_SECONDS - 1)
        return self.catalog()


@pytest.fixture
def file(tmp_path, monkeypatch):
    return lambda text, **settings: File(tmp_path, monkeypatch, text, **settings)


def logged(caplog):
    return [
        (record.getMessage(), getattr(record, "reason", getattr(record, "task_types", ""))) for record in caplog.records
    ]


def test_a_service_that_starts_serves_what_is_right_and_logs_the_rest(file, caplog):
    types = file(f"task_types: {{bad: {BAD}, good: {GOOD}, sleep: {{concurency: 1}}}}").catalog()
    assert set(types) == {"good", "fibonacci", "prime_numbers"}
    assert {name for name in ("bad", "sleep", "good", "gone") if why_unusable(types, name)} == {"bad", "sleep"}
    events = logged(caplog)
    assert [event for event, _ in events] == ["task_type_faulty"] * 4 + ["task_types_left_out"]
    assert events[-1][1] == ["bad", "sleep"]
    assert all("types.yaml: task_types." in reason for _, reason in events[:-1])


@pytest.mark.parametrize("text", ["", "[", "task_types: ", "- a", "[" * 100_000, "a: &a [*a]"])
def test_a_service_that_starts_with_a_file_that_cannot_be_read_serves_its_own_types(file, caplog, text):
    types = file(text).catalog()
    assert set(types) == set(BUILT_IN)
    assert why_unusable(types, "sleep") is None and "not known" in why_unusable(types, "some_type")
    assert logged(caplog)[-1] == ("task_types_left_out", "unknown")


def test_a_type_whose_check_fails_takes_down_no_other(file, monkeypatch, caplog):
    def fail(self, path, name, *_):
        if name == "odd":
            raise TypeError("of no kind")
        return []

    monkeypatch.setattr(EntryCheck, "faults", fail)
    types = file(f"task_types: {{odd: {GOOD}, good: {GOOD}}}").catalog()
    assert "good" in types
    assert types.faulty == {"odd"}
    assert any("task_types.odd: it cannot be checked: TypeError: of no kind" in reason for _, reason in logged(caplog))


def test_a_type_that_becomes_wrong_stays_as_it_was_and_the_others_change(file):
    of = file(f"task_types: {{one: {GOOD}, two: {GOOD}, three: {GOOD}}}")
    before = of.catalog()
    types = of.becomes(f"task_types: {{one: {BAD}, two: {{python: 'a:c', input_schema: {{}}}}, four: {GOOD}}}")
    assert types["one"] is before["one"], "it is wrong"
    assert types["three"] is before["three"], "it may only seem to be missing"
    assert types["two"].python == "a:c"
    assert "four" in types
    assert why_unusable(types, "one") is None
    types = of.becomes(f"task_types: {{one: {GOOD}}}")
    assert set(types) == {"one", *BUILT_IN}
    assert not types.faulty


def test_a_wrong_indent_removes_nothing(file):
    of = file(f"task_types:\n  one: {GOOD}\n  two: {GOOD}\n")
    types = of.becomes(f"task_types:\n  one:\n    python: 'a:b'\n    input_schema: {{}}\n    two: {GOOD}\n")
    assert {"one", "two"} <= types.keys()


def test_a_type_that_was_left_out_is_served_once_it_is_right_though_another_is_not(file):
    of = file(f"task_types: {{one: {BAD}, two: {BAD}}}")
    types = of.becomes(f"task_types: {{one: {GOOD}, two: {BAD}}}")
    assert "one" in types
    assert types.faulty == {"two"}


def test_a_file_that_cannot_be_read_any_more_changes_nothing(file, caplog):
    of = file(f"task_types: {{one: {GOOD}, sleep: {{enabled: false}}}}")
    before = of.catalog()
    for text in ("", "[", "task_types: [", "{}"):
        assert of.becomes(text) is before
    assert {event for event, _ in logged(caplog)} == {"files_not_reread"}


def test_a_file_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(SettingsError, match="--task-types-file cannot be read"):
        Catalog(read_settings(task_types_file=tmp_path / "none.yaml", data_dir=tmp_path))


def test_a_limit_for_a_type_that_the_file_has_not_is_only_a_warning(file, caplog, tmp_path):
    of = file(f"task_types: {{bad: {BAD}, good: {GOOD}}}", type_concurrency="bad=1,god=2")
    assert "good" in of.catalog()
    assert logged(caplog)[-1] == ("task_type_unknown", "--type-concurrency names god: did you mean good?")
    with pytest.raises(SettingsError, match="--type-concurrency names god"):
        Catalog(read_settings(data_dir=tmp_path, type_concurrency="god=2"))


def test_types_that_are_known_to_be_right_are_never_unusable():
    types = TaskTypes({}, ["a"], complete=False)
    assert why_unusable(types, "a") and why_unusable(types, "b")
    assert why_unusable({}, "b") is None and why_unusable(TaskTypes({}), "b") is None
