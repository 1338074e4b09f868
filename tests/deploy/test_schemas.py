"""What is rendered and what is built fits the schemas of the oldest and the newest Kubernetes that we support."""

from __future__ import annotations

import copy

import kubernetes_validate
import pytest

from api.core.observation import AttemptId
from api.executors.base import AttemptSpec
from api.executors.kubernetes.job import build_job
from api.executors.kubernetes.pods import PodSettings
from api.executors.kubernetes.template import JobSettings, Owner
from tests.deploy.rendering import EVERYTHING, ROOT, parse, template
from tests.support.definitions import definition

OLDEST, NEWEST = "1.31", "1.37"
CUSTOM = {"ServiceMonitor", "PrometheusRule"}

SETTINGS = JobSettings("one", "taskpost-runner", 600, 10, owner=Owner("taskpost-jobs", "uid"))
ALL_OF_A_POD = PodSettings(
    image="registry.example.com/runner@sha256:00",
    image_pull_policy="Always",
    command=("python", "-m", "runner"),
    resources={"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": "1"}},
    node_selector={"pool": "large"},
    tolerations=({"key": "gpu", "operator": "Exists"},),
    affinity={
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
            }
        }
    },
    priority_class="batch",
    runtime_class="gvisor",
    service_account="tasks",
    pull_secrets=("registry",),
    run_as_user=1000,
    env=({"name": "LANG", "value": "C.UTF-8"},),
    volumes=({"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},),
    volume_mounts=({"name": "data", "mountPath": "/data"},),
    annotations={"sidecar.istio.io/inject": "false"},
    labels={"team": "numbers"},
    queue_name="user-queue",
    job_labels={"kueue.x-k8s.io/priority-class": "high"},
    container_run_as_user=65532,
    sidecar_resources={"requests": {"cpu": "1m"}},
    sidecar=PodSettings(image="runner"),
)


def check(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("options", [(), EVERYTHING], ids=["defaults", "everything"])
def test_what_the_chart_renders(version, options):
    manifests = [one for one in template(*options) if one["kind"] not in CUSTOM]
    assert len(manifests) > 10
    for manifest in manifests:
        check(manifest, version)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_manifests_for_kubectl(version):
    for manifest in parse((ROOT / "manifests" / "install.yaml").read_text()):
        check(manifest, version)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("pods", [PodSettings(image="taskpost-runner"), ALL_OF_A_POD], ids=["least", "all"])
def test_the_job_of_an_attempt(version, pods):
    of_container = definition("sleep", command=("/program",), env={"A": "b"})
    for of_type in (None, of_container):
        spec = AttemptSpec(AttemptId("task", 1), "sleep", {"TASKPOST_TOKEN": "token"}, 60, of_type)
        check(build_job(spec, SETTINGS, pods), version)
    assert set(PodSettings.model_fields) == ALL_OF_A_POD.model_fields_set, "every setting is tried"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_a_name_that_is_not_there_is_refused(version):
    job = build_job(AttemptSpec(AttemptId("task", 1), "sleep", {}), SETTINGS, ALL_OF_A_POD)
    misspelt = copy.deepcopy(job)
    misspelt["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        check(misspelt, version)


def test_the_newest_version_is_the_newest_there_is():
    assert kubernetes_validate.latest_version().startswith(f"{NEWEST}.")
