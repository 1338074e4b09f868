"""The file of task types: YAML, read whole and checked whole. What is wrong in it is named with its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from api.core.input_schema import InputSchemaError, compile_schema
from api.core.task_types import RetryRule, TaskTypeDefinition
from api.executors.kubernetes.pods import TypePod
from api.settings import LONGEST_SECONDS
from api.strict_yaml import MAX_BYTES, StrictYamlError, parse, place
from api.text import visible
from runner.contract import Env, ErrorCode
from runner.tasks.registry import (
    DEFAULT_TIMEOUT_SECONDS,
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    NAME,
    NAME_RULE,
    REFERENCE,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from api.executors.kubernetes.pods import PodFile
    from runner.tasks.registry import TaskType

MAX_FAULTS: Final = 50
"""How many faults are listed."""
MAX_CONCURRENCY: Final = 1_000_000
MAX_WORD_BYTES: Final = 128 * 1024 - 1
"""The longest argument or variable that Linux passes to a process."""
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NEVER_RETRIED: Final = frozenset({ErrorCode.CANCELLED, ErrorCode.INPUT_INVALID, ErrorCode.TYPE_REMOVED})
_NUL: Final = "\0"
"""What ends a text for the operating system: a process that is given one is never started."""
_OURS: Final = frozenset(str(name) for name in Env)


RunTime = Annotated[float, Field(ge=MIN_TIMEOUT_SECONDS, le=LONGEST_SECONDS)]


class TypeFileInvalid(ValueError):  # noqa: N818 - reads as what it says
    """The file of task types cannot be used; the message has a line for each fault, with file, path and reason."""


class TypeEntry(BaseModel):
    """What the file says of one task type. What it leaves out of a type that the service knows stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    enabled: bool = True
    description: str | None = None
    python: str | None = None
    image: Annotated[str, Field(min_length=1)] | None = None
    command: Annotated[list[str], Field(min_length=1)] | None = None
    input_schema: dict[str, Any] | None = None
    example: dict[str, Any] | None = None
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    retry_on: list[str] = Field(default_factory=list)
    retry_pause_seconds: Annotated[float, Field(ge=0, le=3600)] = 10.0
    timeout_seconds: RunTime | None = None
    max_timeout_seconds: RunTime | None = None
    env: dict[str, str] = Field(default_factory=dict)
    pod: TypePod = Field(default_factory=TypePod)
    egress: list[dict[str, Any]] = Field(default_factory=list)
    """Where a container may connect to: for the chart, which makes a NetworkPolicy of it."""

    @field_validator("python")
    @classmethod
    def _is_a_reference(cls, value: str | None) -> str | None:
        if value is not None and not REFERENCE.fullmatch(value):
            raise ValueError("the form module:function is wanted, e.g. acme.tasks:word_count")
        return value

    @field_validator("retry_on")
    @classmethod
    def _are_codes(cls, value: list[str]) -> list[str]:
        for code in value:
            if not _CODE.fullmatch(code) or code in _NEVER_RETRIED:
                raise ValueError(f"{code!r} is no code of an error that can be tried again")
        return value

    @field_validator("command")
    @classmethod
    def _can_be_run(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not value[0]:
            raise ValueError("its first word is the program, and empty")
        if value is not None and any(_NUL in word for word in value):
            raise ValueError("no word of it may have the character NUL")
        if value is not None and any(len(word.encode()) > MAX_WORD_BYTES for word in value):
            raise ValueError(f"no word of it may have more than {MAX_WORD_BYTES} bytes")
        return value

    @field_validator("env")
    @classmethod
    def _can_be_given(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name or "=" in name or _NUL in name + text:
                shown = name.encode("unicode_escape").decode()
                raise ValueError(f"{shown} is no variable that a process can be given: no NUL, no '=' in its name")
            if len(f"{name}={text}".encode()) > MAX_WORD_BYTES:
                raise ValueError(f"{name[:100]} is longer than the {MAX_WORD_BYTES} bytes that a process can be given")
        ours = sorted(_OURS & value.keys())
        if ours:
            raise ValueError(f"{', '.join(ours)} are the runner's own")
        return value


class TypeFile(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task_types: dict[str, TypeEntry] = Field(default_factory=dict)


def read_type_file(
    path: Path,
    known: Mapping[str, TaskType],
    concurrency: Mapping[str, int],
    *,
    secrets: Collection[str] = (),
    pods: PodFile | None = None,
) -> Mapping[str, TaskTypeDefinition]:
    """Return all task types: those that the service knows and those of the file, laid over them.

    `known` are the types of Python modules that the service has imported, `concurrency` is what the settings say,
    `secrets` are the names of Taskpost's own Secrets, `pods` is what all task pods have, where that is known.

    Raises:
        OSError: if the file cannot be read.
        TypeFileInvalid: if something in it is wrong.
    """
    try:
        document = parse(_text(path))
        entries = TypeFile.model_validate({} if document is None else document).task_types
    except StrictYamlError as error:
        raise _invalid(path, list(error.faults)) from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise _invalid(path, [f"{place(*fault['loc'])}: {_reason(fault['msg'])}" for fault in found]) from None
    faults = [fault for name, entry in entries.items() for fault in _faults(name, entry, known, secrets)]
    if faults:
        raise _invalid(path, faults)
    definitions = laid_over(known, entries, concurrency, str(path.parent.absolute()))
    if pods is not None:
        together = (
            (name, fault) for name in entries if name in definitions for fault in pods.faults_of(definitions[name])
        )
        faults = [f"{place('task_types', name, 'pod', where)}: {visible(what)}" for name, (where, what) in together]
    if faults:
        raise _invalid(path, faults)
    return definitions


def _text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise StrictYamlError(f"more than {MAX_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise StrictYamlError(f"not YAML in UTF-8: {error}") from None


def _invalid(path: Path, faults: list[str]) -> TypeFileInvalid:
    lines = [f"{path}: {fault}" for fault in faults[:MAX_FAULTS]]
    more = len(faults) - MAX_FAULTS
    return TypeFileInvalid("\n".join([*lines, *([f"{path}: {more} more"] if more > 0 else [])]))


def laid_over(
    known: Mapping[str, TaskType],
    entries: Mapping[str, TypeEntry],
    concurrency: Mapping[str, int],
    directory: str = ".",
) -> Mapping[str, TaskTypeDefinition]:
    """Return the types that the service knows, with what the entries say of them and of others.

    `directory` is where commands are run that have no container.
    """
    names = sorted(name for name in known.keys() | entries.keys() if name not in entries or entries[name].enabled)
    return {
        name: _definition(name, entries.get(name, TypeEntry()), known.get(name), concurrency.get(name), directory)
        for name in names
    }


def _faults(name: str, entry: TypeEntry, known: Mapping[str, TaskType], secrets: Collection[str]) -> list[str]:
    where = place("task_types", name)
    faults = [] if NAME.fullmatch(name) else [f"{where}: {name!r} is no name for a task type: {NAME_RULE}"]
    faults += [f"{where}{fault}" for fault in _kind_faults(entry, is_known=name in known) if entry.enabled]
    try:
        compile_schema(entry.input_schema or {})
    except InputSchemaError as error:
        faults.append(visible(f"{where}.{error}"))
    faults += [f"{where}.pod.{visible(at)}: {visible(what)}" for at, what in entry.pod.faults(secrets)]
    longest = entry.max_timeout_seconds or MAX_TIMEOUT_SECONDS
    if entry.timeout_seconds is not None and entry.timeout_seconds > longest:
        faults.append(f"{where}.timeout_seconds: more than max_timeout_seconds, which is {longest:g}")
    return faults


def _kind_faults(entry: TypeEntry, *, is_known: bool) -> list[str]:
    """What is wrong with what a type runs."""
    unknown = "the service knows no such type, so that"
    faults = []
    if not is_known and entry.python is None and entry.command is None:
        faults.append(f": {unknown} `python` must say which function it is, or `command` what its image runs")
    if not is_known and entry.input_schema is None:
        faults.append(f".input_schema: {unknown} its schema must be given")
    if entry.command is not None and entry.python is not None:
        faults.append(": `python` and `command` are both given: it is a function, or what an image runs")
    if entry.command is not None and entry.image is None:
        faults.append(".image: with `command` the image must be given that it is run in")
    if entry.egress and entry.command is None:
        faults.append(".egress: only types with `command` have a network of their own")
    return faults


def _definition(
    name: str, entry: TypeEntry, known: TaskType | None, concurrency: int | None, directory: str
) -> TaskTypeDefinition:
    longest = entry.max_timeout_seconds or (known.max_timeout_seconds if known else MAX_TIMEOUT_SECONDS)
    seconds = entry.timeout_seconds or min(DEFAULT_TIMEOUT_SECONDS, longest)
    schema = entry.input_schema if entry.input_schema is not None else known.input_schema if known else {}
    example = entry.example if entry.example is not None else known.example if known else {}
    return TaskTypeDefinition(
        name=name,
        description=entry.description if entry.description is not None else known.description if known else "",
        input_schema=schema,
        example=example,
        concurrency=entry.concurrency or concurrency,
        max_timeout_seconds=longest,
        default_timeout_seconds=(
            known.default_timeout_seconds if known and entry.timeout_seconds is None else lambda _: seconds
        ),
        retry=RetryRule(entry.retries, entry.retry_pause_seconds, tuple(entry.retry_on)),
        python=entry.python,
        command=tuple(entry.command or ()),
        directory=directory,
        image=entry.image,
        env=entry.env,
        pod=entry.pod.settings(),
    )


def _reason(message: str) -> str:
    return visible(message.removeprefix("Value error, "))
