"""What a task type may give its pods has the form that Kubernetes knows, and its quantities are such."""

# ruff: noqa: E501 - the rows of tables are lines

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from api.executors.kubernetes.pod_form import form_faults
from api.executors.kubernetes.pods import PodFile, PodFileInvalid, read_pod_file
from api.executors.kubernetes.quantities import amount, excess_faults, quantity_fault
from tests.support.definitions import definition
from tests.support.pod_objects import TARGET, text


def test_the_forms_are_those_of_kubernetes():
    assert TARGET.read_text(encoding="utf-8") == text(), "python -m tests.support.pod_objects writes them anew"


@pytest.mark.parametrize(
    ("kind", "value", "faults"),
    [
        ("Toleration", {}, []),
        ("Toleration", None, []),
        ("Toleration", {"key": None}, []),
        ("Toleration", [], ["x"]),
        ("Toleration", {"key": 1, "tolerationSeconds": True}, ["x.key", "x.tolerationSeconds"]),
        ("Volume", {"emptyDir": {}}, ["x.name"]),
        ("Volume", {"name": "a", "csi": {"driver": "d", "volumeAttributes": {"a": 1}}}, ["x.csi.volumeAttributes.a"]),
        ("Volume", {"name": "a", "projected": {"sources": [{"secrte": {}}]}}, ["x.projected.sources.0.secrte"]),
        ("Volume", {"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}}}, []),
        ("NetworkPolicyEgressRule", {"ports": [{"port": "dns"}, {"port": 5.5}]}, ["x.ports.1.port"]),
        ("EnvVar", {"name": "A", "value": "b"}, []),
    ],
)  # fmt: skip
def test_forms(kind, value, faults):
    assert [where for where, _ in form_faults(kind, value, "x")] == faults


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((text, Decimal(number)) for text, number in (
            ("1", 1), ("+1", 1), ("0", 0), ("1.5", "1.5"), (".5", "0.5"), ("5.", 5), ("500m", "0.5"), ("1k", 1000), ("1Ki", 1024),
            ("1.5Gi", 1610612736), ("1e3", 1000), ("1E3", 1000), ("1E", 10**18), ("1Ei", 2**60), ("1n", "1e-9"),
        )),
        (2, Decimal(2)), (1.5, Decimal("1.5")), (True, None), (None, None), (-1, None), (float("nan"), None),
        *((text, None) for text in ("", "-1", "1K", "1 Gi", "1GB", "1KI", "Gi", "1.5.0", "lots", "0x1", "1e", "9" * 200)),
    ],
)  # fmt: skip
def test_quantities(value, number):
    assert amount(value) == number
    assert (quantity_fault(value) is None) == (number is not None)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("512MB", "512M"),
        ("512 mib", "512Mi"),
        ("2gb", "2G"),
        ("2GI", "2Gi"),
        ("1K", "1k"),
        ("1kib", "1Ki"),
        ("5 G", "5G"),
    ],
)
def test_the_quantity_that_was_meant(wrong, right):
    assert f"did you mean {right}?" in quantity_fault(wrong)
    assert quantity_fault(right) is None


def test_a_request_above_its_limit_is_refused_also_if_the_limit_is_that_of_all_pods():
    more = {"requests": {"memory": "1Gi", "cpu": "1"}, "limits": {"memory": "512Mi", "cpu": "1000m"}}
    assert [where for where, _ in excess_faults(more)] == ["resources.requests.memory"]
    of_type = definition("x", pod={"resources": {"requests": {"memory": "1Gi"}}})
    of_all = PodFile(default={"resources": {"limits": {"memory": "512Mi"}}})
    assert [where for where, _ in of_all.faults_of(of_type)] == ["resources.requests.memory"]
    assert list(of_all.faults_of(of_type, is_all=False)) == []


def test_all_faults_of_what_all_pods_have_are_named_at_once(tmp_path):
    path = tmp_path / "pods.json"
    default = {"tolerations": [{"kye": "a"}], "resources": {"limits": {"cpu": "foo"}}, "image_pull_policy": "x"}
    path.write_text(json.dumps({"default": default}))
    with pytest.raises(PodFileInvalid) as refused:
        read_pod_file(path)
    assert len(str(refused.value).split("\n")) == 3
