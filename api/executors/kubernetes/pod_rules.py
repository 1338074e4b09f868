"""Settings that the pods of tasks must not have: what no API server accepts, and what exposes our own Secrets. Pure.

Everything here would else be noticed when a task is started, or not at all.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from api.executors.kubernetes.pod_form import form_faults, list_faults
from api.executors.kubernetes.quantities import excess_faults, resource_faults
from api.executors.kubernetes.template import (
    DIRECTORY,
    SECRET,
    SECRET_DIRECTORY,
    SIDECAR_TMP,
    TMP,
    TMP_MOUNT,
)
from api.nearest import nearest, suggestion
from runner.contract import TASK_DIRECTORY, Env

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

Object = dict[str, Any]
Found = tuple[str, str]
"""Where, and what is wrong."""

OUR_VOLUMES: Final = frozenset(volume["name"] for volume in (TMP, SECRET, DIRECTORY, SIDECAR_TMP))
CHART_VOLUMES: Final = frozenset({"redis-ca", "callback-ca", "callback-certificate"})
"""Given to all runners by the chart (taskPods), and not for programs."""
OUR_TREES: Final = (SECRET_DIRECTORY, f"/var{SECRET_DIRECTORY}", TASK_DIRECTORY)
"""Nothing may be mounted at these, in them, or over them."""
OUR_LABELS: Final = ("taskpost.dev/", "app.kubernetes.io/managed-by")
CHART_TREE: Final = "/etc/taskpost"
HIGHEST_USER: Final = 2**31 - 1

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMES: Final = ("priorityClassName", "runtimeClassName", "serviceAccountName")
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
MAX_NAME_CHARACTERS: Final = 253
MAX_ANNOTATION_BYTES: Final = 256 * 1024
_OF_SECRETS: Final = frozenset({"secret", "secretRef", "secretKeyRef", "nodePublishSecretRef"})
_OURS: Final = frozenset(str(name) for name in Env)


def pod_faults(pod: Mapping[str, Any], secrets: Collection[str], *, of_type: bool) -> Iterator[Found]:
    """Yield what is wrong with the pods of a type, or (`of_type` False) with what all task pods have.

    `pod` has the names of Kubernetes (`volumeMounts`). `secrets` are the names of Taskpost's own Secrets.
    """
    volumes, mounts = pod.get("volumes") or (), pod.get("volumeMounts") or ()
    env = pod.get("env") or ()
    yield from _env_faults(env, of_type=of_type)
    yield from _volume_faults(volumes, OUR_VOLUMES | (CHART_VOLUMES if of_type else frozenset()))
    yield from _mount_faults(mounts, of_type=of_type)
    for name, listed in (("env", env), ("volumes", volumes)):
        for index, one in enumerate(listed):
            if not of_type and one.get("name") in CHART_VOLUMES:
                continue  # the chart's own, which runners have
            for secret in sorted(set(_secrets(one)) & set(secrets)):
                yield f"{name}.{index}", f"{secret} is a Secret of Taskpost itself: no task may have it"
    for name in ("runAsUser", "containerRunAsUser"):
        user = pod.get(name)
        if user is not None and not 1 <= user <= HIGHEST_USER:
            yield name, f"{user} is not a user that tasks may have: 1 to {HIGHEST_USER}, since root (0) is not allowed"
    yield from resource_faults(pod.get("resources") or {})
    yield from excess_faults(pod.get("resources") or {})
    yield from _label_faults(pod)
    yield from _annotation_faults(pod.get("annotations") or {})
    yield from _name_faults(pod)
    for name, kind in (("env", "EnvVar"), ("volumes", "Volume"), ("volumeMounts", "VolumeMount")):
        yield from list_faults(kind, pod.get(name) or (), name)
    yield from list_faults("Toleration", pod.get("tolerations") or (), "tolerations")
    yield from form_faults("Affinity", pod.get("affinity"), "affinity")


def _label_faults(pod: Mapping[str, Any]) -> Iterator[Found]:
    for name in ("labels", "jobLabels", "nodeSelector"):
        for key, value in (pod.get(name) or {}).items():
            if name != "nodeSelector" and (not _KEY.fullmatch(key) or key.startswith(OUR_LABELS)):
                yield (
                    f"{name}.{key}",
                    f"{key!r} is not a label that can be given: it is Taskpost's own, or not [prefix/]name",
                )
            if not _VALUE.fullmatch(value):
                yield f"{name}.{key}", f"{value!r} is not the value of a label: at most 63 of A-Z a-z 0-9 _ . -"


def whole_faults(
    volumes: Sequence[Object], mounts: Sequence[Object], *, others: int = 0, is_all: bool = True
) -> Iterator[Found]:
    """Yield what is wrong with a type's complete pods: duplicate names, mounts of volumes that do not exist.

    The first `others` mounts are not the type's own. Unless `is_all`, there may be volumes that are not known here.
    """
    own = Counter(str(volume.get("name")) for volume in volumes)
    names = {*OUR_VOLUMES, *own}
    for name in sorted(name for name, number in own.items() if number > 1):
        yield "volumes", f"{name} is given twice, here or in what all task pods have"
    paths = [TMP_MOUNT["mountPath"], *(_normal(str(mount.get("mountPath"))) for mount in mounts)]
    for path in sorted(path for path, number in Counter(paths).items() if number > 1):
        yield "volumeMounts", f"{path} is mounted twice, here or in what all task pods have"
    for index, mount in enumerate(mounts[others:] if is_all else ()):
        if str(mount.get("name")) not in names:
            near = nearest(str(mount.get("name")), own)
            hint = f"did you mean {near}?" if near else "add it to `volumes`"
            yield f"volumeMounts.{index}.name", f"volume {mount.get('name')} does not exist; {hint}"


def _env_faults(env: Sequence[Object], *, of_type: bool) -> Iterator[Found]:
    for index, one in enumerate(env):
        name, value = one.get("name"), one.get("value")
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            yield f"env.{index}.name", f"{name!r} is not the name of a variable: text, without '=' and NUL"
        elif of_type and name in _OURS:
            yield f"env.{index}.name", f"{name} is the runner's own"
        if value is not None and (not isinstance(value, str) or "\0" in value):
            yield f"env.{index}.value", f"{value!r} is not text without NUL: write it in quotes"
        if value and one.get("valueFrom") is not None:
            yield f"env.{index}", "`value` and `valueFrom` are both given"
        if one.keys() - {"name", "value", "valueFrom"} or not isinstance(one.get("valueFrom", {}), dict):
            yield f"env.{index}", "a variable has `name`, and `value` or `valueFrom`"


def _volume_faults(volumes: Sequence[Object], reserved: Collection[str]) -> Iterator[Found]:
    for index, volume in enumerate(volumes):
        name = volume.get("name")
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            yield f"volumes.{index}.name", f"{name!r} is not the name of a volume: 1 to 63 of a-z 0-9 -"
        elif name in reserved:
            yield f"volumes.{index}.name", f"{name} is a volume of Taskpost itself: choose another name"
        if not all(isinstance(source, dict) for kind, source in volume.items() if kind != "name") or len(volume) > 2:  # noqa: PLR2004
            yield f"volumes.{index}", "a volume has `name` and one source, such as `emptyDir: {}`"


def _mount_faults(mounts: Sequence[Object], *, of_type: bool) -> Iterator[Found]:
    reserved = OUR_VOLUMES | (CHART_VOLUMES if of_type else frozenset())
    trees = (*OUR_TREES, *([CHART_TREE] if of_type else []))
    for index, mount in enumerate(mounts):
        name, path = mount.get("name"), mount.get("mountPath")
        if not isinstance(name, str) or name in reserved:
            yield f"volumeMounts.{index}.name", f"{name!r} is not a volume that may be mounted: those in `volumes` may"
        if not isinstance(path, str) or not path.startswith("/") or ":" in path or "\0" in path:
            yield f"volumeMounts.{index}.mountPath", f"{path!r} is not an absolute path without ':'"
        elif tree := next((tree for tree in trees if _overlap(_normal(path), tree)), None):
            yield f"volumeMounts.{index}.mountPath", f"{path} is at, in or over {tree}, which is Taskpost's own"
        elif of_type and _normal(path) == TMP_MOUNT["mountPath"]:
            yield f"volumeMounts.{index}.mountPath", f"{path} is mounted already, as an emptyDir"
        for member in ("subPath", "subPathExpr"):
            inner = mount.get(member, "")
            if not isinstance(inner, str) or inner.startswith("/") or ".." in inner.split("/"):
                yield f"volumeMounts.{index}.{member}", f"{inner!r} is not a relative path without '..'"


def _annotation_faults(annotations: Mapping[str, str]) -> Iterator[Found]:
    for key in annotations:
        if not _KEY.fullmatch(key):
            yield f"annotations.{key}", f"{key!r} is not the name of an annotation, which is [prefix/]name"
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > MAX_ANNOTATION_BYTES:
        yield "annotations", f"they have more than {MAX_ANNOTATION_BYTES} bytes"


def _name_faults(pod: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the names of other objects that no object can have."""
    policy = pod.get("imagePullPolicy")
    if policy is not None and policy not in _PULL_POLICIES:
        yield "imagePullPolicy", f"{policy!r} is not one: {suggestion(policy, _PULL_POLICIES)}"
    given = [(name, pod.get(name)) for name in _NAMES]
    given += [(f"imagePullSecrets.{index}", one) for index, one in enumerate(pod.get("imagePullSecrets") or ())]
    for where, name in given:
        if name is not None and (len(name) > MAX_NAME_CHARACTERS or not _OBJECT_NAME.fullmatch(name)):
            rule = "a-z, 0-9, '-' and '.', with a letter or digit first and last"
            yield where, f"{name[:100]!r} is not the name of an object: {rule}"
    queue = pod.get("queueName")
    if queue is not None and not (queue and _VALUE.fullmatch(queue)):
        yield "queueName", f"{queue[:100]!r} is not the name of a queue: at most 63 of A-Z a-z 0-9 _ . -"


def _secrets(value: Any) -> Iterator[str]:  # noqa: ANN401 - any part of a pod
    """Yield the names of all Secrets that a volume or a variable refers to, whatever its kind."""
    if isinstance(value, list):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, dict):
        for key, member in value.items():
            if key == "secretName" and isinstance(member, str):
                yield member
            elif key in _OF_SECRETS and isinstance(member, dict) and isinstance(member.get("name"), str):
                yield member["name"]
            yield from _secrets(member)


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _overlap(path: str, tree: str) -> bool:
    return path == "/" or f"{path}/".startswith(f"{tree}/") or f"{tree}/".startswith(f"{path}/")
