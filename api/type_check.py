"""Checks one entry of the file of task types against all that it must agree with. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from api.core.input_schema import InputSchemaError
from api.core.schema_rules import schema_errors
from api.executors.kubernetes.pod_form import list_faults
from api.executors.kubernetes.pods import PodFile
from api.nearest import suggestion
from api.strict_yaml import Fault
from api.type_definitions import definition
from api.type_rules import entry_faults
from api.web.representation import json_bytes
from api.web.schema_faults import NO_SUCH_MEMBER, InputSchema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from api.strict_yaml import Path
    from api.type_entry import TypeEntry
    from runner.tasks.registry import TaskType

MOST_EXAMPLE_FAULTS: Final = 10
EGRESS: Final = "NetworkPolicyEgressRule"


@dataclass(frozen=True, slots=True)
class EntryCheck:
    """What an entry is compared with.

    `known` are the types that the service knows without the file, `secrets` the names of Taskpost's own Secrets, `pods`
    what all task pods have; None if that is not known here.
    """

    known: Mapping[str, TaskType]
    secrets: Collection[str]
    pods: PodFile | None

    def faults(self, path: Path, name: str, entry: TypeEntry, given: Collection[str], unasked: str) -> list[Fault]:
        """Return all that is wrong in an entry, beyond its form.

        `given` are the members that it has, some of them perhaps in a wrong form; `unasked` says why the code cannot
        give those that it has not.
        """
        found = entry_faults(name, entry, given, unasked, known=self.known.keys())
        return [
            *(Fault((*path, *where), what) for where, what in found),
            *self._input_faults(path, name, entry),
            *(Fault((*path, *_steps_of(where)), what) for where, what in list_faults(EGRESS, entry.egress, "egress")),
            *(_of_pod(path, where, what) for where, what in entry.pod.faults(self.secrets)),
            *(_of_pod(path, where, what) for where, what in self._faults_with_others(name, entry)),
        ]

    def _input_faults(self, path: Path, name: str, entry: TypeEntry) -> Iterator[Fault]:
        """Yield what is wrong with the schema, or else with the example by that schema."""
        known = self.known.get(name)
        schema = entry.input_schema
        if schema is not None and (errors := schema_errors(schema)):
            for error in errors:
                where = ".".join(map(str, error.place))
                what = f"at {where}: {error.reason}" if where else error.reason
                yield Fault((*path, "input_schema"), what, inner=error.place)
            return
        if entry.example is None or (schema is None and known is None):
            return
        used = known.input_schema if schema is None and known is not None else schema or {}
        try:
            checked = InputSchema(used)
        except InputSchemaError:  # that of the code: the service does not start with it
            return
        for fault in checked.faults(entry.example, len(json_bytes(entry.example)))[:MOST_EXAMPLE_FAULTS]:
            steps = _steps(fault.pointer)
            what = f"its input_schema refuses this: {fault.detail}{_hint(used, steps, fault.detail)}"
            yield Fault((*path, "example", *steps), what)

    def _faults_with_others(self, name: str, entry: TypeEntry) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the pods of a type once they have what all task pods have."""
        made = definition(name, entry, self.known.get(name))
        try:
            yield from (self.pods or PodFile()).faults_of(made, is_all=self.pods is not None)
        except ValidationError:  # what is wrong with it is told already
            return


def _of_pod(path: Path, where: str, what: str) -> Fault:
    return Fault((*path, "pod", *_steps_of(where)), what)


def _steps_of(where: str) -> list[str | int]:
    return [int(step) if step.isdecimal() else step for step in where.split(".")]


def _steps(pointer: str) -> list[Any]:
    """Return the steps of a JSON pointer within the input of a task."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[2:]]


def _hint(schema: Any, steps: list[Any], detail: str) -> str:  # noqa: ANN401 - any part of a schema
    """Return a hint that names the nearest member for a name that the schema does not have."""
    for step in steps[:-1]:
        schema = schema.get("properties", {}).get(step) if isinstance(schema, dict) else None
    members = schema.get("properties") if isinstance(schema, dict) else None
    return f"; {suggestion(str(steps[-1]), members)}" if members and detail == NO_SUCH_MEMBER else ""
