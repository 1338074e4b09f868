"""A model and its JSON Schema accept the same JSON values: nothing passes the service and then fails in the runner."""

import math
import sys
from typing import Annotated, Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from runner.tasks.inputs import Integer, Number, TaskInput
from runner.tasks.registry import BUILT_IN, TaskType, load_all

BUILT_IN_TYPES = {name: load_all()[name] for name in BUILT_IN}


class Bounds(TaskInput):
    """Every bound, in both spellings."""

    integer: Integer = 1
    number: Number = 1
    integer_annotated: Annotated[Integer, Field(ge=0, le=10, multiple_of=5)] = 5
    integer_by_default: Integer = Field(1, gt=0, lt=10)
    number_annotated: Annotated[Number, Field(gt=0, lt=10)] = 5
    number_by_default: Number = Field(1, ge=0, le=10)
    numbers: list[Number] = Field([])
    integers: list[Annotated[Integer, Field(gt=-1, lt=10)]] = Field([])


def _task_type(model: type[BaseModel]) -> TaskType:
    return TaskType(name="any", function=print, input_model=model, description="", example={})


TYPES = {**BUILT_IN_TYPES, "bounds": _task_type(Bounds)}

EDGES = [
    *(-1, 0, 1, 2, 5, 9, 10, 10_000_000, 10_000_001, 10**10, 10**10 + 1, 86_400, 86_401, 2**53 + 1, 2**63, 2**64),
    *(-(2**63) - 1, 10**308, 10**309, 10**400, -(10**400), int(sys.float_info.max)),
    *(0.0, -0.0, 0.5, 1.0, 9.999, 10.0, 10.5, 1e7, 1e7 + 1, 1e10, 1e10 + 2, 86_400.0, 86_400.5, 5e-324, 1e308, -1e308),
    *(math.inf, -math.inf, math.nan, sys.float_info.max),
    *(True, False, None, "10", "", "true", [], {}, [1], {"n": 1}),
]
JSON_VALUES = st.recursive(
    st.sampled_from(EDGES) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


def _inputs(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Objects with the model's own fields, mostly, or any JSON value."""
    values = st.sampled_from(EDGES) | JSON_VALUES
    fields = st.fixed_dictionaries({}, optional=dict.fromkeys(model.model_fields, values))
    extra = st.just({}) | st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=1)
    return st.builds(lambda known, unknown: unknown | known, fields, extra) | JSON_VALUES


def _accepts(tried: TaskType, task_input: Any) -> bool:
    try:
        tried.parse(task_input)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("tried", [*TYPES.values()], ids=[*TYPES])
@given(data=st.data())
def test_model_and_schema_agree(tried: TaskType, data: st.DataObject) -> None:
    task_input = data.draw(_inputs(tried.input_model))
    assert jsonschema_rs.is_valid(tried.input_schema, task_input) == _accepts(tried, task_input)


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, tried in TYPES.items() for field in tried.input_model.model_fields]
)
def test_model_and_schema_agree_at_the_edges(name: str, field: str) -> None:
    tried = TYPES[name]
    for value in EDGES:
        for task_input in (tried.example | {field: value}, {field: value}, {field: [value]}):
            assert jsonschema_rs.is_valid(tried.input_schema, task_input) == _accepts(tried, task_input)


@pytest.mark.parametrize("limit", [10**7, 10**7 + 1, 1e7, 1e7 + 1, 10**10, None])
@pytest.mark.parametrize("wanted", [True, False, None, 1])
def test_the_rule_over_two_fields_is_in_the_schema_too(limit: float | None, wanted: Any) -> None:
    tried = BUILT_IN_TYPES["prime_numbers"]
    for task_input in ({"limit": limit, "list": wanted}, {"limit": limit}, {"list": wanted}):
        assert jsonschema_rs.is_valid(tried.input_schema, task_input) == _accepts(tried, task_input)


@pytest.mark.parametrize("tried", [*BUILT_IN_TYPES.values()], ids=BUILT_IN)
def test_schemas_and_examples_are_valid(tried: TaskType) -> None:
    jsonschema_rs.meta.validate(tried.input_schema)
    jsonschema_rs.validate(tried.input_schema, tried.example)
    assert tried.parse(tried.example).model_dump(exclude_unset=True) == tried.example
    assert tried.input_schema["additionalProperties"] is False


@pytest.mark.parametrize("tried", [*BUILT_IN_TYPES.values()], ids=BUILT_IN)
def test_each_built_in_type_has_an_input_for_tasks_without_one(tried: TaskType) -> None:
    default = tried.input_schema["default"]
    assert default == tried.example
    assert _accepts(tried, default)
    assert not _accepts(tried, {})


BAD_NUMBERS = [True, False, "10", "", None, [], {}, [10], math.nan, math.inf, -math.inf, -1, 1e308, 10**18, 10**400]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        *(
            (name, field, value)
            for name, field in [("fibonacci", "n"), ("prime_numbers", "limit")]
            for value in BAD_NUMBERS
        ),
        *(("sleep", "seconds", value) for value in BAD_NUMBERS),
        *(("fibonacci", "n", value) for value in [10.5, 10_000_001, 2**64]),
        *(("prime_numbers", "limit", value) for value in [0.5, -5, 10**10 + 1]),
        *(("sleep", "seconds", value) for value in [-0.001, 86_400.001]),
    ],
)
def test_refused_with_the_name_of_the_field(name: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        BUILT_IN_TYPES[name].parse({field: value})
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]
    assert not jsonschema_rs.is_valid(BUILT_IN_TYPES[name].input_schema, {field: value})


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("task_input", [{}, [], None, 1, "x", {"unknown": 1}, {"n": 1, "limit": 1, "seconds": 1}])
def test_missing_and_unknown_fields_are_refused(name: str, task_input: Any) -> None:
    assert not _accepts(BUILT_IN_TYPES[name], task_input)
    assert not jsonschema_rs.is_valid(BUILT_IN_TYPES[name].input_schema, task_input)


@pytest.mark.parametrize(
    ("name", "field", "value", "read"),
    [
        ("fibonacci", "n", 10.0, 10),
        ("fibonacci", "n", 1e7, 10_000_000),
        ("fibonacci", "n", -0.0, 0),
        ("prime_numbers", "limit", 1e10, 10**10),
        ("sleep", "seconds", 1, 1.0),
        ("sleep", "seconds", 0.5, 0.5),
    ],
)
def test_read_as_the_number_it_is(name: str, field: str, value: Any, read: float) -> None:
    seen = getattr(BUILT_IN_TYPES[name].parse({field: value}), field)
    assert (seen, type(seen)) == (read, type(read))


def test_an_input_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Bounds().integer = 2
