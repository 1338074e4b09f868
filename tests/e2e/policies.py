"""Admission policies for one namespace, as an administrator or a mesh has them."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.release import run, until

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "admissionregistration.k8s.io/v1"


def has_mutating_policies() -> bool:
    """Whether this API server has MutatingAdmissionPolicy (stable since Kubernetes 1.36)."""
    known = run("kubectl", "api-resources", "--api-group=admissionregistration.k8s.io", "-o", "name")
    versions = run("kubectl", "explain", "mutatingadmissionpolicies") if "mutatingadmissionpolicies" in known else ""
    return "VERSION:    v1\n" in versions


@contextmanager
def policy(making: Iterator[None]) -> Iterator[None]:
    """A policy for the time of a test."""
    next(making)
    try:
        yield
    finally:
        list(making)


def denying(namespace: str, task_type: str, message: str) -> Iterator[None]:
    """No Job of a task type is let in."""
    rule = {"validations": [{"expression": "false", "message": message}]}
    yield from _policy("Validating", namespace, "jobs", task_type, rule)


def suspending(namespace: str, task_type: str) -> Iterator[None]:
    """Jobs of a task type are suspended when they are made."""
    yield from _policy("Mutating", namespace, "jobs", task_type, _adding("/spec/suspend", "true"))


def injecting(namespace: str, task_type: str, image: str) -> Iterator[None]:
    """Pods of a task type get a container that never ends."""
    container = (
        f'Object.spec.containers{{name: "mesh", image: "{image}", '
        'command: ["python", "-c", "import time; time.sleep(3600)"], '
        "securityContext: Object.spec.containers.securityContext{allowPrivilegeEscalation: false, "
        'capabilities: Object.spec.containers.securityContext.capabilities{drop: ["ALL"]}}}'
    )
    yield from _policy("Mutating", namespace, "pods", task_type, _adding("/spec/containers/-", container))


def _adding(path: str, value: str) -> dict[str, Any]:
    patch = {"expression": f'[JSONPatch{{op: "add", path: "{path}", value: {value}}}]'}
    return {"reinvocationPolicy": "Never", "mutations": [{"patchType": "JSONPatch", "jsonPatch": patch}]}


def _policy(kind: str, namespace: str, resource: str, task_type: str, rule: dict[str, Any]) -> Iterator[None]:
    """Make a policy and its binding, wait until it is in force, and take both away afterwards."""
    name = f"{namespace}-{kind.lower()}-{resource}"
    group, version = ("batch", "v1") if resource == "jobs" else ("", "v1")
    label = "taskpost.dev/task-type"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [
                {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE"], "resources": [resource]}
            ],
        },
        "matchConditions": [
            {
                "name": "of-type",
                "expression": f"has(object.metadata.labels) && '{label}' in object.metadata.labels && "
                f"object.metadata.labels['{label}'] == '{task_type}'",
            }
        ],
    }
    binding = {"policyName": name} | ({"validationActions": ["Deny"]} if kind == "Validating" else {})
    objects = [
        {"apiVersion": GROUP, "kind": f"{kind}AdmissionPolicy", "metadata": {"name": name}, "spec": spec | rule},
        {"apiVersion": GROUP, "kind": f"{kind}AdmissionPolicyBinding", "metadata": {"name": name}, "spec": binding},
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    run("kubectl", "apply", "-f", "-", given=manifest)
    try:
        until(lambda: _is_in_force(namespace, resource, task_type), 30, f"{name} to be in force")
        yield
    finally:
        run("kubectl", "delete", "-f", "-", given=manifest)


def _is_in_force(namespace: str, resource: str, task_type: str) -> bool:
    """Try it on an object that is not made: is it refused, or changed?"""
    metadata = {"name": "probe", "labels": {"taskpost.dev/task-type": task_type}}
    pod = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "task",
                "image": "localhost/none",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    probe: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    if resource == "jobs":
        template = {"spec": pod | {"restartPolicy": "Never"}}
        probe = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}
    command = ["kubectl", "--namespace", namespace, "create", "--dry-run=server", "-o", "json", "-f", "-"]
    done = subprocess.run(command, input=json.dumps(probe), capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        assert "error applying patch" not in done.stderr
        assert "denied" in done.stderr, done.stderr
        return True
    made = json.loads(done.stdout)["spec"]
    return made.get("suspend") is True or len(made.get("containers", ())) > 1
