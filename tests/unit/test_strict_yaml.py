"""YAML limited to JSON: what is read of a text that has faults, and that they all are found."""

from __future__ import annotations

import pytest

from api.strict_yaml import StrictYamlError, parse, place


def told(text):
    return [f"{place(*fault.path)}: {fault.what}" for fault in parse(text).faults]


def test_all_faults_of_a_text_are_found_in_one_round():
    text = "a: 2024-01-01\nb:\n  - {1: a, on: b}\n  - .inf\nc: !own x\na: 1\n"
    assert [line.split(":")[0] for line in told(text)] == ["a", "b.0", "b.0", "b.1", "c", "a"]


@pytest.mark.parametrize(
    ("text", "where", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", "1 and 3"),
        ("x: {a: 1, 'a': 2}", "x.a", "1 and 1"),
        ("x:\n  - a: {b: 1,\n       b: 2}", "x.0.a.b", "2 and 3"),
        ("o: &o {a: 1}\nx: {<<: *o, <<: *o}", "x.<<", "2 and 2"),
        ('"1": a\n"1": b', "1", "1 and 2"),
    ],
)
def test_a_name_that_is_given_twice_is_refused_with_both_lines(text, where, lines):
    assert told(text) == [f"{where}: the name is given twice, in lines {lines}"]


def test_the_first_value_of_such_a_name_is_read_and_faults_of_both_are_found():
    document = parse("a: [1, 2024-01-01]\na: [2, .nan]\nb: 3")
    assert document.value == {"a": [1, "2024-01-01"], "b": 3}
    assert len(document.faults) == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("o: &o {a: 1, b: 2}\nx: {<<: *o, b: 3}", {"a": 1, "b": 3}),
        ("o: &o {a: 1}\np: &p {a: 2, c: 4}\nx: {<<: [*o, *p], b: 3}", {"a": 1, "b": 3, "c": 4}),
        ("o: &o {a: 1}\np: &p {<<: *o, b: 2}\nx: {b: 5, <<: *p}", {"a": 1, "b": 5}),
    ],
)
def test_merges_are_read_as_yaml_does_and_are_no_name_given_twice(text, value):
    document = parse(text)
    assert (document.faults, document.value["x"]) == ([], value)


@pytest.mark.parametrize("text", ["x: {<<: 1}", "x: {<<: [1]}", "x: {<<: }"])
def test_a_merge_of_something_else_is_refused(text):
    assert "takes a map" in told(text)[0]


def test_what_cannot_be_read_is_there_as_text_and_marked():
    document = parse("a: 2024-01-01\nb: !!set {c}\n2: d")
    assert document.value == {"a": "2024-01-01", "b": {"c": None}}
    assert document.replaced == {("a",), ("b",)}


def test_the_line_of_a_value_or_of_what_is_around_it():
    document = parse("a:\n  b:\n    - c: 1\n")
    assert document.line(("a", "b", 0, "c")) == 3
    assert document.line(("a", "b", 0, "none", "there")) == 3
    assert document.line(("a", "none")) == document.line(("a",)) == 1
    assert document.line(("a", "b")) == 2
    assert parse("").line(("a",)) is None


def test_a_name_that_is_not_text_is_told_with_its_own_line():
    document = parse("a:\n  b: c\n  1: d\n")
    (fault,) = document.faults
    assert (fault.path, document.line((*fault.path, *fault.inner))) == (("a",), 3)


def test_an_empty_text_has_no_value():
    assert parse("").value is None
    assert parse("# nothing\n---\n").value is None


def test_a_text_that_cannot_be_read_at_all():
    with pytest.raises(StrictYamlError, match="nested more than 100 levels deep"):
        parse("[" * 100_000)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e+06", 1_000_000), ("1.5e+07", 15_000_000), ("-2E3", -2000), ("1e-3", 0.001), ('"1e+06"', "1e+06")],
)
def test_large_numbers_as_helm_writes_them_are_numbers(text, value):
    read = parse(f"maximum: {text}").value["maximum"]
    assert read == value
    assert type(read) is type(value)
