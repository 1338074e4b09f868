"""Plain functions as task types: what they are given follows from their signature."""

from __future__ import annotations

import datetime as dt
import functools
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from runner.tasks import Progress, TaskModuleError
from runner.tasks.plain import plain_type
from runner.tasks.registry import refer

if TYPE_CHECKING:
    from runner.tasks.progress import Progress as OnlyForTypes


class Point(BaseModel):
    x: int


@dataclass
class Pair:
    a: int
    b: int


class Named(TypedDict):
    name: str


class Base(typing.TypedDict, total=False):
    note: str


class Standard(Base):
    name: str
    more: NotRequired[list[int]]


class Adder:
    def __call__(self, a: int):
        return a + 1


def whole(task_input):
    """Take the input as it is.

    And more.
    """
    return task_input


def whole_and_progress(data: dict[str, Any], progress):
    progress(50)
    return data


def annotated_progress(data: dict, how_far: Progress):
    how_far(50)
    return data


def progress_or_none(a: int, how_far: Progress | None = None):
    how_far(50)
    return a


def annotated_field(a: Annotated[int, Field(ge=0)] = 3):
    return a


def standard(who: Standard):
    return who


def progress_for_a_type_checker(progress: OnlyForTypes, a: int):
    progress(50)
    return a


def model(point: Point):
    return point.x


def pair(both: Pair):
    return both.a + both.b


def named(who: Named):
    return who["name"]


def add(a: int, b: int = 2):
    return a + b


def shout(text: str):
    return text.upper()


def with_more(a: int, **others: Any):
    return [a, others]


def positional(a, b, /, *, c=3):
    return [a, b, c]


def nothing():
    return "nothing"


def times(day: dt.date, json: int = 1, model_config: str = "c"):
    return [day, json, model_config]


def run(function, task_input):
    found = plain_type("some:name", function)
    return found.function(found.parse(task_input), Progress(lambda _: None))


@pytest.mark.parametrize(
    ("function", "task_input", "result"),
    [
        (whole, {"a": 1}, {"a": 1}),
        (whole, [1], [1]),
        (whole_and_progress, {"a": 1}, {"a": 1}),
        (annotated_progress, {"a": 1}, {"a": 1}),
        (progress_for_a_type_checker, {"a": 1}, 1),
        (model, {"x": 3}, 3),
        (pair, {"a": 1, "b": 2}, 3),
        (named, {"name": "n"}, "n"),
        (add, {"a": 1}, 3),
        (add, {"a": 1.0, "b": 5}, 6),
        (shout, {"text": "a"}, "A"),
        (with_more, {"a": 1, "z": 2}, [1, {"z": 2}]),
        (positional, {"a": 1, "b": 2}, [1, 2, 3]),
        (nothing, {}, "nothing"),
        (times, {"day": "2024-01-02"}, [dt.date(2024, 1, 2), 1, "c"]),
        (times, {"day": "2024-01-02", "json": 2, "model_config": "d"}, [dt.date(2024, 1, 2), 2, "d"]),
        (lambda a, progress: a, {"a": 1}, {"a": 1}),
        (progress_or_none, {"a": 1}, 1),
        (annotated_field, {}, 3),
        (standard, {"name": "n", "note": "m"}, {"name": "n", "note": "m"}),
        (Adder(), {"a": 1}, 2),
        (functools.partial(add, b=5), {"a": 1}, 6),
        (functools.partial(add, 5), {"b": 1}, 6),
    ],
)
def test_it_is_given_what_its_signature_asks_for(function, task_input, result):
    assert run(function, task_input) == result


@pytest.mark.parametrize(
    ("function", "task_input"),
    [
        (add, {}),
        (add, {"a": "many"}),
        (add, {"a": 1, "c": 2}),
        (add, []),
        (shout, {"txt": "a"}),
        (model, {"x": "a"}),
        (pair, {"a": 1}),
        (standard, {"note": "m"}),
        (standard, {"name": "n", "more": ["a"]}),
        (annotated_field, {"a": -1}),
        (Adder(), {"a": "many"}),
        (functools.partial(add, 5), {"b": "many"}),
        (nothing, {"a": 1}),
    ],
)
def test_an_input_that_does_not_fit_is_refused(function, task_input):
    with pytest.raises(ValidationError):
        run(function, task_input)


def test_its_definition_follows_from_its_signature_too():
    found = plain_type("acme.tasks:add", add)
    assert (found.name, found.description, found.reference, found.example) == ("add", "", "acme.tasks:add", None)
    schema = found.input_schema
    assert schema["properties"] == {
        "a": {"title": "A", "type": "integer"},
        "b": {"default": 2, "title": "B", "type": "integer"},
    }
    assert (schema["required"], schema["additionalProperties"]) == (["a"], False)
    assert plain_type("acme.tasks:whole", whole).description == "Take the input as it is."
    assert plain_type("acme.tasks:whole", whole).input_schema["type"] == "object"


@pytest.mark.parametrize(
    ("function", "required", "members"),
    [(pair, ["a", "b"], {"a", "b"}), (standard, ["name"], {"note", "name", "more"}), (named, ["name"], {"name"})],
)
def test_a_definition_refuses_members_that_there_are_not(function, required, members):
    schema = plain_type("some:name", function).input_schema
    root = schema["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    assert (root["required"], set(root["properties"]), root["additionalProperties"]) == (required, members, False)


async def later(a: int):
    return a


async def later_and_later(a: int):
    yield a


def one_by_one(a: int):
    yield a


def field_as_default(a: int = Field(default=3, ge=0)):
    return a


def any_number(*numbers):
    return numbers


def unknown_kind(a: TestCase):  # noqa: F821
    return a


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (later, "it is an async function"),
        (later_and_later, "it is an async function"),
        (functools.partial(later, 5), "it is an async function"),
        (one_by_one, "it is a generator"),
        (field_as_default, r"the default of a is a Field; write a: Annotated\[..., Field\(...\)\] = ..."),
        (any_number, "it takes \\*args"),
        (Point, "it is not a function"),
        (5, "it is not a function"),
    ],
)
def test_what_cannot_be_a_task_type(function, reason):
    with pytest.raises(TypeError, match=reason):
        plain_type("some:thing", function)


def test_an_annotation_that_is_not_there_means_anything():
    assert run(unknown_kind, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("tests.unit.runner.tasks.test_plain:ad", "has no function 'ad'; did you mean add?"),
        ("tests.unit.runner.tasks.test_plain:xyzzy", "has no function 'xyzzy'$"),
        ("tests.unit.runner.tasks.test_plain:later", "cannot be a task type: it is an async function"),
        ("no.such.module:x", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_reference_that_leads_to_none(reference, reason):
    with pytest.raises(TaskModuleError, match=reason):
        refer(reference)


def test_a_reference_to_one():
    found = refer("tests.unit.runner.tasks.test_plain:add")
    assert found.function(found.parse({"a": 1}), Progress(lambda _: None)) == 3
