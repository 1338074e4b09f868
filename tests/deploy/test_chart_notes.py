"""What is printed after an install: rendered as Helm does it, which prints notes only where there is a cluster."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.deploy.rendering import CHART, template, the

if TYPE_CHECKING:
    from pathlib import Path

AS_CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  notes: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}
"""


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = shutil.copytree(CHART, tmp_path_factory.mktemp("notes") / "taskpost")
    (copy / "templates" / "NOTES.txt").rename(copy / "NOTES.txt")
    (copy / "templates" / "notes.yaml").write_text(AS_CONFIG_MAP)
    return copy


def notes(chart: Path, *options: str, release: str = "taskpost") -> str:
    return str(the("ConfigMap", "notes", template(*options, chart=chart, release=release))["data"]["notes"])


def test_they_wait_before_anything_is_tried(chart: Path):
    commands = [line.strip() for line in notes(chart, release="jobs").splitlines() if line.startswith("  ")]
    wait, test, submit, forward, key = commands
    assert wait == "kubectl --namespace taskpost rollout status deployment/jobs-taskpost --timeout=3m"
    assert test == "helm test jobs --namespace taskpost"
    assert submit.startswith("kubectl --namespace taskpost exec deployment/jobs-taskpost -- taskpost submit ")
    assert forward == "kubectl --namespace taskpost port-forward service/jobs-taskpost 8000:80"
    assert "get secret jobs-taskpost-runner --output jsonpath='{.data.signing-keys}' | base64 --decode" in key


def test_the_key_is_that_of_a_secret_of_one_s_own(chart: Path):
    assert "get secret mine --output" in notes(chart, "--set", "runner.existingSecret=mine")


@pytest.mark.parametrize(
    ("values", "who"),
    [
        ("replicaCount=2", "every pod, at http://taskpost.taskpost:80. networkPolicy.serviceFrom restricts it"),
        ("networkPolicy.enabled=false", "every pod, since networkPolicy.enabled is false"),
        ("networkPolicy.serviceFrom[0].podSelector.matchLabels.a=b", "what networkPolicy.serviceFrom lists"),
    ],
)
def test_they_say_who_can_reach_the_service(chart: Path, values: str, who: str):
    text = notes(chart, "--set", values)
    assert who in text
    assert "Taskpost has no login" in text
    assert "WARNING" not in text


@pytest.mark.parametrize(
    ("values", "warnings"),
    [
        ("ingress.enabled=true", ["the Ingress taskpost leads to it, at taskpost.local"]),
        (
            "ingress.enabled=true,ingress.hosts={a.example,b.example}",
            ["the Ingress taskpost leads to it, at a.example, b.example"],
        ),
        ("ingress.enabled=true,ingress.hosts={a.example,}", ["the Ingress taskpost leads to it, at every host"]),
        ("service.type=LoadBalancer", ["service.type is LoadBalancer"]),
        ("service.type=NodePort", ["service.type is NodePort: everybody who reaches a node of the cluster can"]),
        ("service.type=NodePort,service.nodePort=30080", ["everybody who reaches a node of the cluster at port 30080"]),
        ("service.type=NodePort,ingress.enabled=true", ["the Ingress taskpost leads", "service.type is NodePort"]),
        ("valkey.persistence.enabled=false", ["a restart of Valkey loses all tasks"]),
    ],
)
def test_they_warn_of_what_opens_the_service_or_loses_tasks(chart: Path, values: str, warnings: list[str]):
    text = notes(chart, "--set", values)
    assert text.count("WARNING: ") == len(warnings)
    for warning in warnings:
        assert warning in text
