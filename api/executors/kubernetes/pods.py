"""What an operator can say of the pods that run tasks, for all of them and for single task types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from api.executors.kubernetes.pod_rules import HIGHEST_USER, pod_faults, whole_faults
from api.executors.kubernetes.quantities import excess_faults, resource_faults
from api.expected import expected
from api.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from api.core.task_types import TaskTypeDefinition

Object = dict[str, Any]
User = Annotated[int, Field(ge=1, le=HIGHEST_USER)]
"""Not root."""

MAX_FAULTS: Final = 50
"""How many faults are listed."""
OF_THE_RUNNER: Final = frozenset({"command", "env", "volume_mounts"})


_CHART_NAMES: Final = {
    "priorityClass": "priorityClassName",
    "runtimeClass": "runtimeClassName",
    "serviceAccount": "serviceAccountName",
    "pullSecrets": "imagePullSecrets",
}
"""Settings of pods whose names in Kubernetes are others."""


class PodFileInvalid(ValueError):  # noqa: N818 - reads as what it says
    """The file with the settings of pods cannot be used; the message says why."""


class PodSettings(BaseModel):
    """The pods of a task type. Members that are objects of Kubernetes are taken as they are.

    `run_as_user` None leaves the choice to the image or, on OpenShift, to the namespace. The images of container types
    may choose root: for those `container_run_as_user` comes before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = ""
    image_pull_policy: str | None = None
    command: tuple[str, ...] = ()
    resources: Object = Field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
        }
    )
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Object, ...] = ()
    affinity: Object = Field(default_factory=dict)
    priority_class: str | None = None
    runtime_class: str | None = None
    service_account: str | None = None
    pull_secrets: tuple[str, ...] = ()
    run_as_user: User | None = None
    container_run_as_user: User | None = 65532
    env: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    volume_mounts: tuple[Object, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    queue_name: str | None = None
    """The local queue of Kueue that its Jobs go to."""
    job_labels: dict[str, str] = Field(default_factory=dict)
    """Labels of its Jobs, beside ours: a priority class of Kueue, for example."""
    sidecar_resources: Object = Field(
        default_factory=lambda: {"requests": {"cpu": "50m", "memory": "48Mi"}, "limits": {"memory": "512Mi"}}
    )
    sidecar: PodSettings | None = None
    """What the runner has that is beside the program of a container type: image, command, environment and mounts."""


class TypePod(BaseModel):
    """What the file of task types says of a type's pods, by the names that Kubernetes and the chart have for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)

    image_pull_policy: str | None = None
    resources: Object | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[Object] | None = None
    affinity: Object | None = None
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    service_account_name: str | None = None
    image_pull_secrets: list[str] | None = None
    run_as_user: User | None = None
    env: list[Object] | None = None
    volumes: list[Object] | None = None
    volume_mounts: list[Object] | None = None
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    queue_name: str | None = None
    job_labels: dict[str, str] | None = None

    def settings(self) -> Object:
        """Return what is set, by the names of `PodSettings`."""
        renamed = {
            "priority_class_name": "priority_class",
            "runtime_class_name": "runtime_class",
            "service_account_name": "service_account",
            "image_pull_secrets": "pull_secrets",
        }
        return {renamed.get(name, name): value for name, value in self.model_dump(exclude_none=True).items()}

    def faults(self, secrets: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield each place and what is wrong there, beyond its shape. `secrets` are the names of Taskpost's own."""
        return pod_faults(self.model_dump(exclude_none=True, by_alias=True), secrets, of_type=True)


class PodFile(BaseModel):
    """The settings of all pods."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Object = Field(default_factory=dict)

    def of_type(self, definition: TaskTypeDefinition | None, image: str) -> PodSettings:
        """Return the settings of a type's pods: maps of its definition are laid over the default, lists add to it.

        What the containers of all pods have (environment, mounts) only the runner gets: it may be secret.
        """
        of_all: Object = {"image": image} | self.default
        if definition is None:
            return PodSettings.model_validate(of_all)
        default = of_all
        if definition.command:
            default = {name: value for name, value in of_all.items() if name not in OF_THE_RUNNER}
            default |= {"command": list(map(_literal, definition.command)), "sidecar": of_all}
        settings = _laid_over(default, definition.pod) | ({"image": definition.image} if definition.image else {})
        return PodSettings.model_validate(settings)

    def faults_of(self, definition: TaskTypeDefinition, *, is_all: bool = True) -> Iterator[tuple[str, str]]:
        """Yield each place and what is wrong there, once a type's pods are merged with those of all types.

        `is_all` says whether this is what all task pods have: else a volume that is not here may be there.
        """
        settings = self.of_type(definition, "")
        others = 0 if definition.command else len(self.default.get("volume_mounts", ()))
        yield from whole_faults(settings.volumes, settings.volume_mounts, others=others, is_all=is_all)
        if is_all:
            yield from excess_faults(settings.resources)


def read_pod_file(path: Path | None, secrets: Collection[str] = ()) -> PodFile:
    """Read the settings of pods: a JSON object `{"default": {...}}`. `secrets` are the names of Taskpost's own Secrets.

    Raises:
        PodFileInvalid: if the file cannot be read or something in it is wrong.
    """
    if path is None:
        return PodFile()
    try:
        pods = PodFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
        of_all = pods.of_type(None, "")
    except ValidationError as error:
        raise PodFileInvalid("\n".join(f"{path}: {fault}" for fault in _faults(error))) from None
    except (OSError, ValueError, RecursionError) as error:
        raise PodFileInvalid(f"{path}: {error}") from None
    given = {to_camel(name): value for name, value in of_all.model_dump(exclude_none=True).items()}
    given |= {chart: given.pop(ours) for ours, chart in _CHART_NAMES.items() if ours in given}
    found = [
        *pod_faults(given, secrets, of_type=False),
        *whole_faults(of_all.volumes, of_all.volume_mounts),
        *((f"sidecar_{where}", what) for where, what in resource_faults(of_all.sidecar_resources)),
    ]
    if found:
        raise PodFileInvalid("\n".join(f"{path}: default.{where}: {visible(what)}" for where, what in found))
    return pods


def _faults(error: ValidationError) -> Iterator[str]:
    """Yield the place of each fault in the file, and what is expected there."""
    for fault in error.errors(include_url=False, include_input=False)[:MAX_FAULTS]:
        where = ".".join(map(str, fault["loc"]))
        where = where if error.title == PodFile.__name__ else f"default.{where}"
        yield f"{visible(where)}: {expected(fault)}" if where else expected(fault)


def _literal(argument: str) -> str:
    """Keep Kubernetes from putting variables in the place of $(NAME): a command is run as it is written."""
    return argument.replace("$", "$$")


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Object:
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            result[name] = _laid_over(old, value)
        elif isinstance(value, list) and isinstance(old, list | tuple):
            result[name] = [*old, *value]
        else:
            result[name] = value
    return result
