"""The form of the objects of Kubernetes that a task type may give its pods: members, types and fixed words. Pure.

An API server ignores unknown members without an error, so that a misspelt toleration would have no effect.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from api.executors.kubernetes.quantities import quantity_fault
from api.nearest import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator

Found = tuple[str, str]
"""Where, and what is wrong."""

MAX_SHOWN_CHARACTERS: Final = 100
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "array": (list, tuple),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
_NAMES: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "a map",
    "string": "text (in quotes)",
}
_WORDS: Final = {
    ("EmptyDirVolumeSource", "medium"): ("", "Memory", "HugePages", "HugePages-2Mi", "HugePages-1Gi"),
    ("LabelSelectorRequirement", "operator"): ("In", "NotIn", "Exists", "DoesNotExist"),
    ("NetworkPolicyPort", "protocol"): ("TCP", "UDP", "SCTP"),
    ("NodeSelectorRequirement", "operator"): ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
    ("Toleration", "effect"): ("", "NoSchedule", "PreferNoSchedule", "NoExecute"),
    ("Toleration", "operator"): ("Exists", "Equal", "Gt", "Lt"),
    ("VolumeMount", "mountPropagation"): ("None", "HostToContainer", "Bidirectional"),
}
"""The words that a member may have, which the schemas of Kubernetes only describe."""


def form_faults(kind: str, value: Any, where: str) -> Iterator[Found]:  # noqa: ANN401 - any JSON value
    """Yield what is wrong with the form of an object, e.g. of the kind `Toleration`, that is at `where`."""
    yield from _faults({"$ref": kind}, value, where, "")


def list_faults(kind: str, values: Any, where: str) -> Iterator[Found]:  # noqa: ANN401 - any JSON value
    """Yield what is wrong with the form of a list of such objects."""
    for index, value in enumerate(values):
        yield from form_faults(kind, value, f"{where}.{index}")


@cache
def _forms() -> dict[str, Any]:
    """Return the form of each kind. `tests/support/pod_objects.py` makes them from the schemas of Kubernetes."""
    made: dict[str, Any] = json.loads((files(__package__ or "") / "pod_objects.json").read_text(encoding="utf-8"))
    return made


def _faults(form: dict[str, Any], value: Any, where: str, kind: str) -> Iterator[Found]:  # noqa: ANN401
    while "$ref" in form:
        kind = form["$ref"]
        form = _forms()[kind]
    if value is None:
        return
    if kind == "Quantity":
        if why := quantity_fault(value):
            yield where, why
        return
    if not _is_of(value, form["type"]):
        yield where, f"expected {' or '.join(_NAMES[one] for one in form['type'])}, not {_shown(value)}"
    elif isinstance(value, dict):
        yield from _map_faults(form, value, where, kind)
    elif isinstance(value, list | tuple) and "items" in form:
        for index, item in enumerate(value):
            yield from _faults(form["items"], item, f"{where}.{index}", "")


def _map_faults(form: dict[str, Any], value: dict[str, Any], where: str, kind: str) -> Iterator[Found]:
    members = form.get("properties")
    for name, inner in value.items():
        at = f"{where}.{name}"
        if members is None:
            yield from _faults(form.get("additionalProperties", {"type": list(_TYPES)}), inner, at, "")
        elif name not in members:
            yield at, f"unknown member; {suggestion(name, members)}"
        elif inner is not None and (words := _WORDS.get((kind, name))) and inner not in words:
            yield (
                at,
                f"{_shown(inner)} is not allowed here; {suggestion(str(inner), [one for one in words if one])}",
            )
        else:
            yield from _faults(members[name], inner, at, "")
    for name in form.get("required", ()):
        if value.get(name) is None:
            yield f"{where}.{name}", "this member is required"


def _is_of(value: object, types: list[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in types
    return any(isinstance(value, _TYPES[one]) for one in types if one != "boolean")


def _shown(value: object) -> str:
    return repr(value)[:MAX_SHOWN_CHARACTERS]
