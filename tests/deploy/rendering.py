"""Renders the chart and the kustomizations, for the tests that compare what comes out."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm"
NAMESPACE = "taskpost"
FOR_KUBERNETES = ("--kube-version", "1.36.0")
"""Without a cluster Helm assumes a version, which depends on how it was built: one from `go install` says 1.20."""
EXISTING = ("--set", "redis.existingSecret=taskpost-redis,runner.existingSecret=taskpost-runner")
EVERYTHING = (
    *EXISTING,
    "--set",
    "autoscaling.enabled=true,ingress.enabled=true,serviceMonitor.enabled=true,prometheusRule.enabled=true",
    "--api-versions",
    "monitoring.coreos.com/v1",
)

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """The path of helm or kubectl, from TASKPOST_CLUSTER_BIN or PATH; without it the test is skipped."""
    places = os.environ.get("TASKPOST_CLUSTER_BIN", "") + os.pathsep + os.environ.get("PATH", "")
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} is neither in TASKPOST_CLUSTER_BIN nor in PATH")
    return found


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False)


@cache
def template_text(*options: str, release: str = "taskpost", chart: Path = CHART) -> str:
    done = run_helm("template", release, str(chart), "--namespace", NAMESPACE, *FOR_KUBERNETES, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def template(*options: str, release: str = "taskpost", chart: Path = CHART) -> list[Manifest]:
    return parse(template_text(*options, release=release, chart=chart))


def refusal(*options: str, chart: Path = CHART) -> str:
    """What helm says of values that it refuses."""
    done = run_helm("template", "taskpost", str(chart), "--namespace", NAMESPACE, *FOR_KUBERNETES, *options)
    assert done.returncode != 0
    return done.stderr


def kustomize(directory: Path) -> str:
    done = subprocess.run([tool("kubectl"), "kustomize", directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parse(text: str) -> list[Manifest]:
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def the(kind: str, name: str, manifests: Iterable[Manifest]) -> Manifest:
    (found,) = (one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def of_kind(kind: str, manifests: Iterable[Manifest]) -> list[Manifest]:
    return [one for one in manifests if one["kind"] == kind]


def pod_specs(manifests: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The specs of all pods, each with the name of what makes it."""
    for one in manifests:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one["spec"]
        elif one["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
            yield name, one["spec"]["template"]["spec"]


def containers(pod_spec: Manifest) -> list[Manifest]:
    return [*pod_spec.get("initContainers", []), *pod_spec["containers"]]
