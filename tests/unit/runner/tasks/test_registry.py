"""The registry: how a function becomes a task type, and which modules are imported to find it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, RootModel, ValidationError

from runner.tasks import Progress, TaskModuleError, registry, task_type
from runner.tasks.inputs import TaskInput
from runner.tasks.registry import BUILT_IN, find, load_all, refer

if TYPE_CHECKING:
    from decimal import Decimal

HEADER = """
from runner.tasks import Progress, task_type
from runner.tasks.inputs import Integer, TaskInput

class Input(TaskInput):
    x: Integer
"""
DOUBLE = """
@task_type("{name}", example={{"x": 1}})
def double(task_input: Input, progress: Progress) -> int:
    return 2 * task_input.x
"""


class Words(TaskInput):
    """An input."""

    words: list[str]


class Loose(BaseModel):
    """A model that says nothing of unknown fields."""

    x: int = 0


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    load_all()
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose modules can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def count(task_input: Words, progress: Progress) -> int:
    """Count the words.

    More about it.
    """
    progress(50)
    return len(task_input.words)


def test_a_function_becomes_a_task_type() -> None:
    assert task_type("count.words-2_x", example={"words": ["a"]})(count) is count
    found = find("count.words-2_x")
    assert found
    assert (found.name, found.function, found.input_model) == ("count.words-2_x", count, Words)
    assert (found.description, found.example) == ("Count the words.", {"words": ["a"]})
    assert (found.max_timeout_seconds, found.default_timeout_seconds({})) == (86_400, 3_600)
    assert found.input_schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found.input_schema["required"] == ["words"]
    assert found.input_schema["additionalProperties"] is False
    assert found.input_schema is found.input_schema
    assert found.function(found.parse({"words": ["a", "b"]}), Progress(print)) == 2
    with pytest.raises(ValidationError):
        found.parse({"words": "a"})


def test_the_name_and_the_example_may_be_left_out() -> None:
    @task_type
    def bare(task_input: Words, progress: Progress) -> None: ...

    @task_type()
    def called(task_input: Words, progress: Progress) -> None: ...

    @task_type("with.a-name")
    def named(task_input: Words, progress: Progress) -> None: ...

    for name, function in (("bare", bare), ("called", called), ("with.a-name", named)):
        found = find(name)
        assert found
        assert (found.function, found.example) == (function, None)

    with pytest.raises(ValueError, match="'Not_A_Name' is not a valid name for a task type"):

        @task_type
        def Not_A_Name(task_input: Words, progress: Progress) -> None: ...  # noqa: N802


CALLED = """
@task_type("{name}")
def {name}({parameters}) -> int:
    return 2 * task_input.x
"""


@pytest.mark.parametrize(
    "parameters",
    ["task_input: Input", "task_input: Input, *, progress: Progress", "task_input: Input, **more: Progress"],
)
def test_the_progress_may_be_left_out_or_be_given_by_name(modules: Path, parameters: str) -> None:
    (modules / "taskpost_called.py").write_text(HEADER + CALLED.format(name="called", parameters=parameters))
    found = refer("taskpost_called:called")
    assert (found.name, found) == ("called", find("called"))
    assert found.function(found.parse({"x": 4}), Progress(lambda _: None)) == 8


async def _later(task_input: Words, progress: Progress) -> None: ...


def _one_by_one(task_input: Words, progress: Progress) -> Iterator[int]:
    yield 1


def _too_many(task_input: Words, progress: Progress, more: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_later, "_later cannot be a task type: it is an async function"),
        (_one_by_one, "_one_by_one cannot be a task type: it is a generator"),
        (_too_many, r"_too_many must take an input and a progress, as in \(task_input: Model, progress: Progress\)"),
    ],
)
def test_a_function_that_can_never_end_with_a_result_is_refused_at_once(function: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        task_type("any")(function)
    assert find("any") is None


@pytest.mark.parametrize("rule", [lambda task_input: task_input["none"], lambda _: "many", lambda _: float("nan")])
def test_a_rule_for_the_run_time_that_fails_fails_no_submission(rule: Any) -> None:
    task_type("odd", max_timeout_seconds=4000, default_timeout_seconds=rule)(count)
    found = find("odd")
    assert found
    assert found.default_timeout_seconds({}) == 3600


@pytest.mark.parametrize(
    ("default", "maximum", "timeout"),
    [
        (90, 100, 90),
        (90, 60, 60),
        (0, 60, 1),
        (lambda task_input: task_input["x"] * 10, 60, 20),
        (lambda task_input: task_input["x"] * 1000, 60, 60),
    ],
)
def test_default_timeout_stays_within_what_is_allowed(default: Any, maximum: float, timeout: float) -> None:
    task_type("any", example={}, max_timeout_seconds=maximum, default_timeout_seconds=default)(count)
    found = find("any")
    assert found
    assert (found.max_timeout_seconds, found.default_timeout_seconds({"x": 2})) == (maximum, timeout)


def test_no_docstring_is_no_description() -> None:
    @task_type("silent", example={})
    def silent(task_input: Words, progress: Progress) -> None: ...

    found = find("silent")
    assert found
    assert found.description == ""


def test_a_loose_model_gets_a_schema_that_refuses_unknown_fields() -> None:
    @task_type("loose", example={})
    def loose(task_input: Loose, progress: Progress) -> None: ...

    @task_type("root", example={})
    def root(task_input: RootModel[dict[str, int]], progress: Progress) -> None: ...

    found = load_all()
    assert found["loose"].input_schema["additionalProperties"] is False
    assert found["root"].input_schema["additionalProperties"] == {"type": "integer"}


@pytest.mark.parametrize("name", ["a", "7", "a" * 63, "a.b-c_d", "a--b"])
def test_names(name: str) -> None:
    task_type(name, example={})(count)
    assert find(name)


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", ".a", "a_", "a b", "a/b", "ä", "a\n", "a" * 64, 5, b"a"])
def test_bad_names(name: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid name for a task type: use 1 to 63 characters"):
        task_type(name, example={})


@pytest.mark.parametrize("name", ["again", "sleep"])
def test_a_name_is_given_once(name: str) -> None:
    if name not in BUILT_IN:
        task_type(name, example={})(count)
    with pytest.raises(ValueError, match=f"a task type '{name}' is registered already, by "):
        task_type(name, example={})(count)


def _no_parameter() -> None: ...


def _no_annotation(task_input, progress: Progress) -> None: ...  # type: ignore[no-untyped-def]


def _no_model(task_input: dict[str, int], progress: Progress) -> None: ...


def _no_class(task_input: Words | None, progress: Progress) -> None: ...


@pytest.mark.parametrize("function", [_no_parameter, _no_annotation, _no_model, _no_class])
def test_the_first_parameter_has_to_be_a_model(function: Any) -> None:
    with pytest.raises(
        TypeError, match=f"{function.__name__} must have a first parameter that is annotated with a pyd"
    ):
        task_type("any", example={})(function)
    assert find("any") is None


def test_an_annotation_that_is_not_there_at_run_time() -> None:
    def function(task_input: "Decimal", progress: Progress) -> None: ...

    with pytest.raises(TypeError, match="name 'Decimal' is not defined; import what it is annotated with at run time"):
        task_type("any", example={})(function)


def test_finds_in_modules_and_stops_where_it_is(modules: Path) -> None:
    (modules / "taskpost_first.py").write_text(HEADER + DOUBLE.format(name="first"))
    (modules / "taskpost_second.py").write_text(HEADER + DOUBLE.format(name="second"))
    (modules / "taskpost_broken.py").write_text("1 / 0")
    names = ["taskpost_first", "taskpost_second", "taskpost_broken"]

    assert find("second") is None
    second = find("second", names)
    assert second
    assert second.function(second.parse({"x": 4.0}), Progress(print)) == 8
    assert find("fibonacci", ["taskpost_broken"])
    assert set(load_all(names[:2])) >= {*BUILT_IN, "first", "second"}
    assert find("third", names[:2]) is None
    with pytest.raises(TaskModuleError):
        find("third", names)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: "),
        ("import taskpost_nowhere", "ModuleNotFoundError: No module named 'taskpost_nowhere'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (
            HEADER + DOUBLE.format(name="sleep"),
            "ValueError: a task type 'sleep' is registered already, by runner.tasks.sle",
        ),
        (None, "ModuleNotFoundError: No module named 'taskpost_module'"),
    ],
)
def test_a_module_that_cannot_be_imported(modules: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (modules / "taskpost_module.py").write_text(text)
    for look in (load_all, lambda names: find("unknown", names)):
        with pytest.raises(TaskModuleError) as failure:
            look(["taskpost_module"])
        assert str(failure.value).startswith(f"task module 'taskpost_module' cannot be imported: {reason}")


def test_a_name_that_is_no_module() -> None:
    with pytest.raises(TaskModuleError, match="task module '' cannot be imported: ValueError: Empty module name"):
        load_all([""])


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("import runner.tasks", {"pydantic", "gmpy2", "runner.tasks.sleep"}),
        ("find('sleep').input_schema", {"gmpy2", "runner.tasks.fibonacci", "runner.tasks.prime_numbers"}),
        ("[found.input_schema for found in load_all().values()]", {"gmpy2"}),
    ],
    ids=["the package", "one type", "all types"],
)
def test_imports_no_more_than_it_needs(program: str, absent: set[str]) -> None:
    start = "import sys; sys.modules['gmpy2'] = None; from runner.tasks.registry import find, load_all"
    end = f"assert not {absent} & {{name for name, module in sys.modules.items() if module}}"
    subprocess.run([sys.executable, "-c", f"{start}; {program}; {end}"], check=True)
