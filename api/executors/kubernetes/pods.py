"""What an operator can say of the pods that run tasks, for all of them and for single task types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

Object = dict[str, Any]


class PodFileInvalid(ValueError):  # noqa: N818 - reads as what it says
    """The file with the settings of pods cannot be used; the message says why."""


class PodSettings(BaseModel):
    """The pods of a task type. Members that are objects of Kubernetes are taken as they are.

    `run_as_user` None leaves the choice to the image or, on OpenShift, to the namespace.
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
    run_as_user: int | None = None
    env: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    volume_mounts: tuple[Object, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    queue_name: str | None = None
    """The local queue of Kueue that its Jobs go to."""


class PodFile(BaseModel):
    """The settings of all pods, and what is different for single task types."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Object = Field(default_factory=dict)
    types: dict[str, Object] = Field(default_factory=dict)

    def of_type(self, task_type: str, image: str) -> PodSettings:
        """Return the settings of a type's pods: a member named for the type replaces that of the default."""
        return PodSettings.model_validate({"image": image} | self.default | self.types.get(task_type, {}))


def read_pod_file(path: Path | None) -> PodFile:
    """Read the settings of pods: a JSON object `{"default": {...}, "types": {"name": {...}}}`.

    Raises:
        PodFileInvalid: if the file cannot be read or something in it is wrong.
    """
    if path is None:
        return PodFile()
    try:
        pods = PodFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
        for name in ("", *pods.types):
            pods.of_type(name, "")
    except (OSError, ValidationError, ValueError) as error:
        raise PodFileInvalid(f"{path}: {error}") from None
    return pods
