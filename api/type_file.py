"""The file of task types: YAML, read whole and checked whole. Each thing that is wrong in it is named with its place.

A type that has a fault is left out; the others can be used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from api.nearest import suggestion
from api.strict_yaml import MAX_BYTES, Document, Fault, StrictYamlError, parse, place
from api.text import visible
from api.type_check import EntryCheck
from api.type_definitions import laid_over
from api.type_entry import TypeEntry, read_entry
from runner.tasks.registry import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path as FilePath

    from api.core.task_types import TaskTypeDefinition
    from api.described import Description
    from api.executors.kubernetes.pods import PodFile
    from api.strict_yaml import Path
    from runner.tasks.registry import TaskType

logger = logging.getLogger(__name__)

ROOT: Final = "task_types"
MAX_FAULTS: Final = 50
"""How many faults are listed."""
MAX_WHAT_CHARACTERS: Final = 600
OF_CODE: Final = ("description", "input_schema", "example")
"""What a function's code can say, so that the file need not."""

Describe = Callable[["Collection[str]"], "Mapping[str, Description]"]


@dataclass(frozen=True, slots=True)
class TypeFile:
    """What a file defines, and what is wrong in it.

    `definitions` are all task types that can be used, those too that the file does not name. `right` and `faulty` are
    the names that it has. `complete` is False if it may have further ones, which cannot be read.
    """

    definitions: Mapping[str, TaskTypeDefinition]
    right: frozenset[str]
    faulty: frozenset[str]
    faults: tuple[Fault, ...] = ()
    complete: bool = True
    document: Document = field(default_factory=lambda: Document(None))


class TypeFileInvalid(ValueError):  # noqa: N818 - reads as what it says
    """Something in the file is wrong; the message has a line for each fault, with file, path and reason."""

    def __init__(self, path: FilePath, found: TypeFile) -> None:
        lines = [f"{path}: {line}" for line in fault_lines(found)]
        super().__init__("\n".join(lines))
        self.found = found


def fault_lines(found: TypeFile) -> list[str]:
    """Return a line of text for each fault, up to `MAX_FAULTS`, and then one that says how many there are besides."""
    more = len(found.faults) - MAX_FAULTS
    lines = [fault_text(fault) for fault in found.faults[:MAX_FAULTS]]
    return [*lines, *([f"{more} more"] if more > 0 else [])]


def fault_text(fault: Fault) -> str:
    """Return a fault as people read it, on one line."""
    return f"{place(*fault.path)}: {visible(fault.what)[:MAX_WHAT_CHARACTERS]}"


def read_type_file(
    path: FilePath,
    known: Mapping[str, TaskType],
    concurrency: Mapping[str, int],
    *,
    secrets: Collection[str] = (),
    pods: PodFile | None = None,
    describe: Describe | None = None,
) -> Mapping[str, TaskTypeDefinition]:
    """Return all task types: those that the service knows and those of the file, laid over them.

    `known` are the types of Python modules that the service has imported, `concurrency` is what the settings say,
    `secrets` are the names of Taskpost's own Secrets, `pods` is what all task pods have, where that is known;
    `describe` asks the code of functions for what the file leaves out.

    Raises:
        OSError: if the file cannot be read.
        TypeFileInvalid: if something in it is wrong. It has what is right, too.
    """
    found = check_type_file(path, known, concurrency, secrets=secrets, pods=pods, describe=describe)
    if found.faults:
        raise TypeFileInvalid(path, found)
    return found.definitions


def check_type_file(
    path: FilePath,
    known: Mapping[str, TaskType],
    concurrency: Mapping[str, int],
    *,
    secrets: Collection[str] = (),
    pods: PodFile | None = None,
    describe: Describe | None = None,
) -> TypeFile:
    """Read the file, and find all that is wrong in it. Raises `OSError` if it cannot be read."""
    try:
        document = parse(_text(path))
    except StrictYamlError as error:
        return _unreadable(known, concurrency, Document(None, [Fault((), str(error))]))
    given, faults = _entries_of(document)
    if given is None:
        return _unreadable(known, concurrency, Document(None, faults, document.lines))
    check = EntryCheck(known, secrets, pods)
    read = {name: read_entry((ROOT, name), one) for name, one in given.items()}
    said = _said(given, {name: entry for name, (entry, _) in read.items()}, known, describe)
    entries = {}
    for name, (entry, found) in read.items():
        of_code, members = said.get(name, {}), given[name]
        entries[name] = entry.model_copy(update={one: of_code[one] for one in OF_CODE if one in of_code})
        faults += found
        if isinstance(members, dict):
            here = members.keys() | of_code.keys()
            told = {fault.path for fault in found}
            further = _checked(check, name, entries[name], here, str(of_code.get("error", "")))
            faults += [fault for fault in further if not _is_within(fault.path, told)]
    faults = _told_once(document, faults)
    faulty = {str(fault.path[1]) for fault in faults if _names_type(fault)}
    right = {name: entry for name, entry in entries.items() if name not in faulty}
    others = {name: one for name, one in known.items() if name not in faulty}
    return TypeFile(
        laid_over(others, right, concurrency, str(path.parent.absolute())),
        frozenset(right),
        frozenset(faulty),
        tuple(faults),
        complete=all(map(_names_type, faults)),
        document=document,
    )


def _checked(check: EntryCheck, name: str, entry: TypeEntry, given: Collection[str], unasked: str) -> list[Fault]:
    """Return what is wrong with one type. What no check has foreseen is its fault alone."""
    try:
        return check.faults((ROOT, name), name, entry, given, unasked)
    except Exception as error:
        logger.exception("task_type_faulty", extra={"reason": f"{name} cannot be checked"})
        return [Fault((ROOT, name), f"it cannot be checked: {type(error).__name__}: {error}")]


def _text(path: FilePath) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise StrictYamlError(f"more than {MAX_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise StrictYamlError(f"not YAML in UTF-8: {error}") from None


def _entries_of(document: Document) -> tuple[dict[str, object] | None, list[Fault]]:
    """Return what the file says of each type, None if nothing of that can be read, and what is wrong around it."""
    whole: object = document.value
    faults: list[Fault] = []
    if whole is None:
        return None, [*document.faults, Fault((), f"it is empty: write `{ROOT}: {{}}` if there are no task types")]
    if not isinstance(whole, dict):
        return None, [*document.faults, Fault((), f"expected a map with the member `{ROOT}`")]
    faults += [Fault((name,), f"unknown member; {suggestion(name, [ROOT])}") for name in whole if name != ROOT]
    entries = whole.get(ROOT)
    if not isinstance(entries, dict):
        what = "expected a map of task types" if ROOT in whole else "it is missing"
        return None, [*document.faults, *faults, Fault((ROOT,), f"{what}: write `{ROOT}: {{}}` if there are none")]
    return entries, faults


def _said(
    given: Mapping[str, object],
    entries: Mapping[str, TypeEntry],
    known: Mapping[str, TaskType],
    describe: Describe | None,
) -> Mapping[str, Description]:
    """Return what the code says of the types without a schema here, by type, without what the file says itself."""
    asked = {
        name: entry.python
        for name, entry in entries.items()
        if entry.python and REFERENCE.fullmatch(entry.python) and name not in known and entry.enabled
    }
    asked = {name: one for name, one in asked.items() if "input_schema" not in _members(given[name])}
    said = describe(set(asked.values())) if describe is not None and asked else {}
    return {
        name: {one: value for one, value in said.get(python, {}).items() if one not in _members(given[name])}
        for name, python in asked.items()
    }


def _members(given: object) -> Collection[str]:
    return given.keys() if isinstance(given, dict) else ()


def _unreadable(known: Mapping[str, TaskType], concurrency: Mapping[str, int], document: Document) -> TypeFile:
    """Return what the service knows by itself: what the file says of it, and of other types, cannot be told."""
    return TypeFile(
        laid_over(known, {}, concurrency),
        frozenset(),
        frozenset(),
        tuple(document.faults),
        complete=False,
        document=document,
    )


def _told_once(document: Document, faults: list[Fault]) -> list[Fault]:
    """Put faults in the order of the file, without what follows from a value that could not be read."""
    others = (fault for fault in faults if not _is_within((*fault.path, *fault.inner), document.replaced))
    unique = dict.fromkeys((*document.faults, *others))
    return sorted(unique, key=lambda fault: document.line((*fault.path, *fault.inner)) or 0)


def _is_within(path: Path, places: Collection[Path]) -> bool:
    """Whether one of the places is this path, or leads to it."""
    return any(path[:length] in places for length in range(1, len(path) + 1))


def _names_type(fault: Fault) -> bool:
    return fault.path[:1] == (ROOT,) and len(fault.path) > 1
