"""Plain functions as task types: makes their arguments from the input, by their own signatures."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, RootModel, create_model
from pydantic.fields import FieldInfo

from runner.tasks.progress import Progress
from runner.tasks.registry import NAME, TaskType, description_of, refuse_without_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from inspect import Parameter

    Arguments = Callable[[Any], dict[str, Any]]

_ANYTHING: Final = (inspect.Parameter.empty, Any, object, dict, Mapping, typing.Mapping)


def plain_type(reference: str, function: Any) -> TaskType:  # noqa: ANN401 - whatever the name leads to
    """Return the task type of a function without `@task_type`.

    A parameter `progress`, or one annotated as `Progress`, is given that. If there is one other parameter, and it is
    annotated as a pydantic model, a dataclass, a `TypedDict` or a `dict`, or not at all, it takes the whole input. All
    other parameters are the members of the input, by their names.

    Raises:
        TypeError: if it is not a function, or it cannot be told what to give it.
    """
    if not callable(function) or isinstance(function, type):
        raise TypeError("it is not a function")
    refuse_without_result(_annotated(function))
    parameters = list(inspect.signature(function).parameters.values())
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        raise TypeError("it takes *args, so it cannot be told what to give it")
    hints = _hints(function)
    progresses = [one.name for one in parameters if one.name == "progress" or _is_progress(hints.get(one.name))]
    inputs = [one for one in parameters if one.name not in progresses]
    whole = len(inputs) == 1 and _takes_whole(inputs[0], hints)
    model, arguments = _whole(inputs[0].name, hints) if whole else _by_name(inputs, hints)
    placed = [one.name for one in parameters if one.kind is one.POSITIONAL_ONLY]

    def call(task_input: Any, progress: Progress) -> Any:  # noqa: ANN401 - any JSON value
        given = arguments(task_input) | dict.fromkeys(progresses, progress)
        return function(*[given.pop(name) for name in placed], **given)

    name = reference.partition(":")[2].casefold().strip("_")
    return TaskType(
        name=name if NAME.fullmatch(name) else "function",
        function=call,
        input_model=model,
        description=description_of(function),
        reference=reference,
    )


def _annotated(function: Any) -> Any:  # noqa: ANN401 - whatever can be called
    """Return the function that has the annotations: that of a `partial`, or the `__call__` of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) or hasattr(function, "__wrapped__") else type(function).__call__


def _is_progress(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether it is `Progress`, also as `Progress | None` or `Annotated`."""
    return annotation is Progress or Progress in typing.get_args(annotation)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations. What is imported for a type checker only is not there: then the name alone tells."""
    function = _annotated(function)
    try:
        return typing.get_type_hints(function, include_extras=True)
    except TypeError:  # a function written in C has none
        return {}
    except NameError:
        names = {"Progress": Progress, **getattr(function, "__globals__", {})}
        return {name: _evaluated(one, names) for name, one in inspect.get_annotations(function).items()}


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:  # noqa: ANN401 - any annotation
    try:
        return eval(annotation, names) if isinstance(annotation, str) else annotation  # noqa: S307 - the function's own
    except NameError:
        return Any


def _takes_whole(parameter: Parameter, hints: dict[str, Any]) -> bool:
    if parameter.kind is parameter.VAR_KEYWORD:
        return False
    annotation = hints.get(parameter.name, parameter.empty)
    if any(annotation is one for one in _ANYTHING):
        return True
    bare = typing.get_origin(annotation) or annotation
    if bare is typing.Annotated:
        bare = typing.get_args(annotation)[0]
    is_map = isinstance(bare, type) and issubclass(bare, BaseModel | Mapping)
    return is_map or dataclasses.is_dataclass(bare) or typing.is_typeddict(bare)


def _whole(name: str, hints: dict[str, Any]) -> tuple[type[BaseModel] | None, Arguments]:
    """Return the model of the input, and what makes arguments of it, for a function that takes the whole."""
    annotation = hints.get(name, Any)
    if any(annotation is one for one in _ANYTHING):
        return None, lambda task_input: {name: task_input}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, lambda task_input: {name: task_input}
    model = _root_model(annotation) or _root_model(_with_members(annotation))
    if model is None:
        return None, lambda task_input: {name: task_input}
    return model, lambda task_input: {name: task_input.root}


def _root_model(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    """Return the model of an annotation; None if it has a `TypedDict` that does not say which members it requires."""
    try:
        return RootModel.__class_getitem__(annotation)
    except PydanticUserError:  # as those of Python 3.11 do not
        return None


def _with_members(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    """Return a `TypedDict` in a form that says which members it requires; another annotation as it is."""
    if not typing.is_typeddict(annotation):
        return annotation
    members = {
        name: hint
        if typing.get_origin(hint) in {typing.Required, typing.NotRequired}
        else (typing.Required if name in annotation.__required_keys__ else typing.NotRequired)[hint]
        for name, hint in typing.get_type_hints(annotation, include_extras=True).items()
    }
    make: Any = typing_extensions.TypedDict
    return make(annotation.__name__, members)


def _by_name(inputs: Sequence[Parameter], hints: dict[str, Any]) -> tuple[type[BaseModel], Arguments]:
    """The same for a function whose parameters are members of the input. No model uses the names of the fields."""
    named = [one for one in inputs if one.kind is not one.VAR_KEYWORD]
    for one in named:
        if isinstance(one.default, FieldInfo):
            raise TypeError(f"the default of {one.name} is a Field; write {one.name}: Annotated[..., Field(...)] = ...")
    names = {f"member_{index}": one.name for index, one in enumerate(named)}
    members: dict[str, Any] = {
        field: (hints.get(one.name, Any), Field(... if one.default is one.empty else one.default, alias=one.name))
        for field, one in zip(names, named, strict=True)
    }
    extra: Any = "forbid" if len(named) == len(inputs) else "allow"
    model: type[BaseModel] = create_model("TaskInput", __config__=ConfigDict(extra=extra), **members)

    def arguments(task_input: BaseModel) -> dict[str, Any]:
        return (task_input.model_extra or {}) | {name: getattr(task_input, field) for field, name in names.items()}

    return model, arguments
