"""The task types by name: how a function becomes one, and how it is found with as few imports as can be."""

from __future__ import annotations

import importlib
import inspect
import logging
import math
import re
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from runner.places import place_of
from runner.texts import error_text, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

logger = logging.getLogger(__name__)

BUILT_IN: Final[tuple[str, ...]] = ("fibonacci", "prime_numbers", "sleep")
"""The task types that are always there. Each is in the module of its name in `runner.tasks`."""

DEFAULT_TIMEOUT_SECONDS: Final = 3_600.0
MAX_TIMEOUT_SECONDS: Final = 86_400.0
MIN_TIMEOUT_SECONDS: Final = 1.0
MAX_REASON_CHARACTERS: Final = 1000

TimeoutRule = Callable[[dict[str, Any]], float]
"""Gives the run time in seconds that fits a valid task input."""

NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?")  # a Kubernetes label takes 63 characters
NAME_RULE: Final = "use 1 to 63 characters of a-z, 0-9, '_', '.', '-', with a letter or digit first and last"
REFERENCE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""A function as `module:name`."""
_built_in_modules: Final = {name: f"runner.tasks.{name}" for name in BUILT_IN}
_registered: Final[dict[str, TaskType]] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


class TaskModuleError(Exception):
    """A module of task types cannot be imported. The message names the module and the reason."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskType:
    """A named computation: `function` takes what `parse` returns and a `Progress`, and returns a value for JSON.

    `input_model` is None if the function takes any object. `reference` names the function as `module:name`.
    """

    name: str
    function: Callable[..., Any]
    input_model: type[BaseModel] | None
    description: str
    reference: str = ""
    example: dict[str, Any] | None = None
    max_timeout_seconds: float = MAX_TIMEOUT_SECONDS
    default_timeout_seconds: TimeoutRule = lambda _: DEFAULT_TIMEOUT_SECONDS

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of the input. Unknown fields are refused, unless the model allows them."""
        schema: dict[str, Any] = (
            {"type": "object"} if self.input_model is None else self.input_model.model_json_schema()
        )
        # The root of a dataclass, a TypedDict or a recursive model is a reference to its definition.
        root = schema.get("$defs", {}).get(schema.get("$ref", "").removeprefix("#/$defs/"), schema)
        if "properties" in root:
            root.setdefault("additionalProperties", False)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema

    def parse(self, task_input: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the input as `function` takes it. Raises pydantic's `ValidationError` for one that does not fit."""
        return task_input if self.input_model is None else self.input_model.model_validate(task_input)


@overload
def task_type(name: _Function, /) -> _Function: ...


@overload
def task_type(
    name: str | None = None,
    *,
    example: dict[str, Any] | None = None,
    max_timeout_seconds: float = MAX_TIMEOUT_SECONDS,
    default_timeout_seconds: float | TimeoutRule = DEFAULT_TIMEOUT_SECONDS,
) -> Callable[[_Function], _Function]: ...


def task_type(
    name: str | _Function | None = None,
    *,
    example: dict[str, Any] | None = None,
    max_timeout_seconds: float = MAX_TIMEOUT_SECONDS,
    default_timeout_seconds: float | TimeoutRule = DEFAULT_TIMEOUT_SECONDS,
) -> Callable[[_Function], _Function] | _Function:
    """Make a function `(task_input: Model, progress: Progress) -> JSON value` the task type `name`.

    Without a name it has the function's. Its description is the first line of the function's docstring, its input
    schema that of the pydantic model. Without an example one is made of what the model's fields tell, if they do. A
    default run time out of 1..`max_timeout_seconds` is brought within. The parameter for the progress may be left out.

    Raises:
        TypeError: The function's first parameter is not annotated with a pydantic model, or the function cannot be
            called with an input and a `Progress`, or does not return a value: it is async, or a generator.
        ValueError: The name is taken, or is not a valid name for a task type.
    """
    if callable(name):
        return task_type()(name)
    if name is not None:
        _check_name(name)

    def register(function: _Function) -> _Function:
        own_name = function.__name__ if name is None else name
        _check_name(own_name)
        if own_name in _registered:
            by = _registered[own_name].function.__module__
            raise ValueError(f"a task type {own_name!r} is registered already, by {by}")
        _registered[own_name] = TaskType(
            name=own_name,
            input_model=_input_model(function),
            function=_called(function),
            description=description_of(function),
            reference=f"{function.__module__}:{function.__qualname__}",
            example=example,
            max_timeout_seconds=max_timeout_seconds,
            default_timeout_seconds=_within(own_name, default_timeout_seconds, max_timeout_seconds),
        )
        return function

    return register


def description_of(function: Callable[..., Any]) -> str:
    """Return the first line of a function's docstring."""
    return (function.__doc__ or "").strip().partition("\n")[0]


def refuse_without_result(function: Callable[..., Any]) -> None:
    """Raise `TypeError` for a function whose calls return something that makes a result, and not the result."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("it is an async function; let a plain one call asyncio.run")
    if inspect.isgeneratorfunction(function):
        raise TypeError("it is a generator (it has a `yield`); let it return a list")


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is called with an input and a `Progress`: the function, if it takes both."""
    where = f"{function.__module__}.{function.__qualname__}"
    try:
        refuse_without_result(function)
    except TypeError as error:
        raise TypeError(f"{where} cannot be a task type: {error}") from None
    signature = inspect.signature(function)
    if _takes(signature, None, None):
        return function

    def call(task_input: Any, progress: Any) -> Any:  # noqa: ANN401
        return function(task_input, **({"progress": progress} if by_name else {}))

    by_name = _takes(signature, None, progress=None)
    if not by_name and not _takes(signature, None):
        raise TypeError(f"{where} must take an input and a progress, as in (task_input: Model, progress: Progress)")
    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call


def _takes(signature: inspect.Signature, *arguments: None, **named: None) -> bool:
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        return False
    return True


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a valid name for a task type: {NAME_RULE}")


def _within(name: str, rule: float | TimeoutRule, most_seconds: float) -> TimeoutRule:
    """Return a rule that always gives a run time that is allowed, whatever the type's own does with an input."""

    def default_timeout(task_input: dict[str, Any]) -> float:
        try:
            seconds = float(rule(task_input) if callable(rule) else rule)
        except Exception as error:  # noqa: BLE001 - a rule of a task type may raise anything
            reason = error_text(error, MAX_REASON_CHARACTERS)
            logger.warning("default_timeout_failed", extra={"task_type": name, "reason": reason})
            seconds = DEFAULT_TIMEOUT_SECONDS
        if math.isnan(seconds):
            seconds = DEFAULT_TIMEOUT_SECONDS
        return min(max(seconds, MIN_TIMEOUT_SECONDS), most_seconds)

    return default_timeout


def find(name: str, modules: Sequence[str] = ()) -> TaskType | None:
    """Return the task type `name`, or None if there is none.

    For a built-in one its own module alone is imported, for another `modules` (dotted names) in turn until it is there.
    Raises `TaskModuleError` if one of those cannot be imported.
    """
    for module in [_built_in_modules[name]] if name in BUILT_IN else modules:
        if name in _registered:
            break
        _import(module)
    return _registered.get(name)


def refer(reference: str) -> TaskType:
    """Return the task type whose function is named as `module:function`, whatever name it is registered under.

    A plain function, without `@task_type`, is one too. Raises `TaskModuleError` if it cannot be imported, or is not a
    function.
    """
    module, _, name = reference.partition(":")
    _import(module)
    function = getattr(sys.modules[module], name, None)
    for registered in _registered.values():
        own = registered.function
        if function is not None and (own is function or getattr(own, "__wrapped__", None) is function):
            return registered
    if function is None:
        raise TaskModuleError(f"the module {module!r} has no function {name!r}{_hint(sys.modules[module], name)}")
    from runner.tasks.plain import plain_type  # noqa: PLC0415 - for those alone that have one

    try:
        return plain_type(reference, function)
    except Exception as error:  # what pydantic raises for annotations that it does not know, too
        reason = text_of(error, MAX_REASON_CHARACTERS).partition("\n")[0]
        raise TaskModuleError(f"{reference!r} cannot be a task type: {reason}") from error


def _hint(module: object, name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for this

    near = get_close_matches(name, [one for one, value in vars(module).items() if callable(value)], 1)
    return f"; did you mean {near[0]}?" if near else ""


def add_path(directories: Sequence[str]) -> None:
    """Look for modules of task types in these directories too, before all others."""
    sys.path[:0] = [directory for directory in directories if directory not in sys.path]


def load_all(modules: Sequence[str] = (), directories: Sequence[str] = ()) -> dict[str, TaskType]:
    """Import the built-in task types and all `modules`, and return every task type by name.

    Raises `TaskModuleError` if a module cannot be imported, which is so too when it registers a name that is taken.
    """
    add_path(directories)
    for module in (*_built_in_modules.values(), *modules):
        _import(module)
    return dict(_registered)


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        reason = error_text(error, MAX_REASON_CHARACTERS, place_of(sys.exc_info()[2]))
        raise TaskModuleError(f"task module {module!r} cannot be imported: {reason}") from error


def _input_model(function: Callable[..., Any]) -> type[BaseModel]:
    from pydantic import BaseModel  # noqa: PLC0415 - the module of the function has imported it, or fails right here

    where = f"{function.__module__}.{function.__qualname__}"
    try:
        first = next(iter(inspect.signature(function).parameters), "")
        model = typing.get_type_hints(function).get(first)
    except NameError as error:
        raise TypeError(f"{where}: {error}; import what it is annotated with at run time too") from error
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(
            f"{where} must have a first parameter that is annotated with a pydantic model; a function with other "
            "parameters is named by `python:` in the file of task types, without @task_type"
        )
    return model
