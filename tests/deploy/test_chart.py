"""The chart: what its files say, and what Helm makes of them. The names of cases are those of the project's list."""

from __future__ import annotations

import base64
import json
import re
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml

from api.executors.kubernetes.pods import read_pod_file
from api.settings import ENV_PREFIX, Settings
from runner.contract import key_prefix
from tests.deploy.rendering import (
    CHART,
    EVERYTHING,
    FOR_KUBERNETES,
    ROOT,
    Manifest,
    containers,
    of_kind,
    parse,
    pod_specs,
    refusal,
    run_helm,
    template,
    template_text,
    the,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TEMPLATES = sorted(CHART.glob("templates/**/*.*"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
SECRETIVE = {"redis_url", "signing_keys"}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def walk(value: object) -> Iterator[Manifest]:
    """All objects inside an object."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)


def values_file(tmp_path: Path, values: object) -> tuple[str, str]:
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps(values))
    return "--values", str(path)


def task_pods(manifests: Iterable[Manifest]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(the("ConfigMap", "taskpost-task-pods", manifests)["data"]["task-pods.json"])
    return found


def service_environment(manifests: Iterable[Manifest]) -> dict[str, Any]:
    (container,) = the("Deployment", "taskpost", manifests)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def images(manifests: Iterable[Manifest]) -> set[str]:
    """Every image in what is rendered, those of task pods too."""
    manifests = list(manifests)
    found = {one["image"] for document in manifests for one in walk(document) if isinstance(one.get("image"), str)}
    runner = service_environment(manifests)["TASKPOST_RUNNER_IMAGE"]
    return found | {runner}


# ------------------------------------------------------------------------------------------ without helm


def test_the_schema_is_one_and_the_values_keep_to_it():
    jsonschema_rs.meta.validate(SCHEMA)
    jsonschema_rs.validator_for(SCHEMA).validate(VALUES)


def test_schema_and_values_have_the_same_names():
    def compare(path: str, schema: dict[str, Any], values: dict[str, Any]) -> None:
        properties = schema["properties"]
        assert set(properties) == set(values), path
        for name, value in values.items():
            below = resolved(properties[name])
            if isinstance(value, dict) and below.get("additionalProperties") is False:
                all_resources = {"requests": {}, "limits": {}, "claims": []}
                if "properties" not in below:
                    continue  # a map whose names are the user's
                optional = {"resources": all_resources, "sidecarResources": all_resources}
                compare(f"{path}.{name}", below, optional.get(name, {}) | value)

    compare("", SCHEMA, VALUES)


def test_every_object_of_ours_refuses_unknown_names():
    closed = [one for one in walk(SCHEMA) if isinstance(one.get("properties"), dict) and one.get("type") == "object"]
    open_ones = [one for one in closed if one.get("additionalProperties") is not False]
    assert open_ones == [SCHEMA["properties"]["global"]]


def test_every_value_is_described():
    lines = (CHART / "values.yaml").read_text().splitlines()
    tops = [number for number, line in enumerate(lines) if re.match(r"[a-zA-Z]+:", line)]
    assert [lines[number] for number in tops if not lines[number - 1].startswith("#")] == []


def test_every_setting_that_is_named_exists():
    names = set(re.findall(rf"{ENV_PREFIX}([A-Z_]*[A-Z])", "".join(path.read_text() for path in TEMPLATES)))
    assert {name.lower() for name in names} <= set(Settings.model_fields)
    assert set(VALUES["settings"]) <= set(Settings.model_fields)
    assert not set(VALUES["settings"]) & SECRETIVE


def test_every_image_goes_through_the_one_helper():
    lines = [line.strip() for path in TEMPLATES for line in path.read_text().splitlines() if "image:" in line.lower()]
    assert len(lines) == 3
    for line in lines:
        assert re.fullmatch(r'image: \{\{ include "taskpost\.image" \(list \. .*\) \}\}', line)


def test_selectors_hold_nothing_that_changes():
    names = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
    for one in template(release="a"):
        if one["kind"] in {"Deployment", "StatefulSet"}:
            assert set(one["spec"]["selector"]["matchLabels"]) == names


# ------------------------------------------------------------------------------------------ with helm


def test_lint():
    assert (done := run_helm("lint", "--strict", *FOR_KUBERNETES, str(CHART))).returncode == 0, done.stdout


@pytest.mark.parametrize("version", ["1.31.0", "1.34.0", "1.37.0", "v1.33.5-eks-3025e55", "1.38.0-alpha.1"])
def test_h02_with_existing_secrets_every_render_is_the_same(version: str):
    first, second = (
        run_helm("template", "taskpost", str(CHART), "-n", "x", *EVERYTHING, "--kube-version", version)
        for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert not of_kind("Secret", parse(first.stdout))


def test_h02_without_them_only_the_secrets_differ():
    def rest() -> list[Manifest]:
        done = run_helm("template", "taskpost", str(CHART), *FOR_KUBERNETES)
        return [one for one in parse(done.stdout) if one["kind"] != "Secret"]

    assert rest() == rest()


def test_h03_selectors_stay_over_an_upgrade(tmp_path: Path):
    chart = tmp_path / "taskpost"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(about.read_text().replace("0.1.0", "9.9.9"))
    changed = ("--set", "image.tag=other,commonLabels.team=a,valkey.image.tag=other,podLabels.a=b,valkey.podLabels.a=b")

    def fixed(manifests: list[Manifest]) -> list[Any]:
        claims = [one["spec"].get("volumeClaimTemplates") for one in of_kind("StatefulSet", manifests)]
        return [[one["spec"].get("selector") for one in manifests if "spec" in one], claims]

    before, after = template(*EVERYTHING), template(*EVERYTHING, *changed, chart=chart)
    assert fixed(before) == fixed(after)
    assert the("ConfigMap", "taskpost-jobs", before) == the("ConfigMap", "taskpost-jobs", after)
    for one in after:
        if one["metadata"]["name"] != "taskpost-jobs":
            assert one["metadata"]["labels"]["team"] == "a"


def test_h04_works_in_an_umbrella(tmp_path: Path):
    umbrella = tmp_path / "umbrella"
    shutil.copytree(CHART, umbrella / "charts" / "taskpost")
    dependencies = [{"name": "taskpost", "version": "0.1.0", "condition": "taskpost.enabled"}]
    about = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": dependencies}
    (umbrella / "Chart.yaml").write_text(json.dumps(about))
    shared = {"imageRegistry": "reg.local:5000", "imagePullSecrets": ["pull"], "unknown": {"a": 1}}
    options = values_file(tmp_path, {"global": shared, "taskpost": {"enabled": True, "replicaCount": 3}})
    rendered = template(*options, release="shop", chart=umbrella)
    assert the("Deployment", "shop-taskpost", rendered)["spec"]["replicas"] == 3
    for _, spec in pod_specs(rendered):
        assert spec["imagePullSecrets"] == [{"name": "pull"}]
        assert all(one["image"].startswith("reg.local:5000/") for one in containers(spec))
    assert template(*options, "--set", "taskpost.enabled=false", release="shop", chart=umbrella) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "replicaCout=2"), ("''", "replicaCout")),
        (("--set", "valkey.persistence.sise=1Gi"), ("/valkey/persistence", "sise")),
        (("--set", "taskTypes.sleep.pod.nodeSelektor.a=b"), ("/taskTypes/sleep/pod", "nodeSelektor")),
        (("--set", "settings.concurency=2"), ("/settings", "concurency")),
        (("--set-string", "service.port=8080"), ("/service/port", "want integer")),
        (("--set", "redis.url=redis://x"), ("valkey.enabled",)),
        (("--set", "valkey.enabled=false"), ("redis.url or redis.existingSecret",)),
        (("--set", "settings.redis_min_replicas=1"), ("settings.redis_min_replicas is 1", "no replicas")),
        (("--set", "redis.existingSecret=x"), ("runner.existingSecret",)),
        (("--set", "serviceAccount.create=false"), ("serviceAccount.name",)),
    ],
)
def test_h04_what_is_wrong_is_refused_with_its_place(options: tuple[str, ...], words: tuple[str, ...]):
    said = refusal(*options)
    for word in words:
        assert word in said


def test_settings_reach_the_service_as_it_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = {
        "concurrency": 7,
        "type_concurrency": {"sleep": 2, "fibonacci": 3},
        "queue_max_bytes": 268435456,
        "start_deadline_seconds": 0.5,
        "callback_retry_seconds": [5, 0.5, 86400],
        "cors_origins": ["https://a.example", "https://b.example"],
        "callback_allow_loopback": False,
        "callback_allow": ["10.0.0.0/8", "*.example.com"],
        "callback_deny": ["10.96.0.0/12"],
        "root_path": "/tasks",
    }
    environment = service_environment(template(*values_file(tmp_path, {"settings": given})))
    for name, value in environment.items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = Settings()
    wanted = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    assert {name: getattr(settings, name) for name in given} == wanted
    assert settings.executor == "kubernetes"
    assert settings.instance == "taskpost"


def test_callbacks_do_not_go_to_the_release_itself_nor_show_what_answers_inside(tmp_path: Path):
    given = {
        "settings": {"callback_own_names": ["tasks.example.net"]},
        "ingress": {"enabled": True, "hosts": ["tasks.example.com", "*.tasks.example.com"]},
        "service": {"port": 8080},
    }
    environment = service_environment(template(*values_file(tmp_path, given)))
    assert environment["TASKPOST_CALLBACK_KEEP_ANSWERS"] == "public"
    names = environment["TASKPOST_CALLBACK_OWN_NAMES"].split(",")
    within = ["taskpost.taskpost", "taskpost.taskpost.svc", "taskpost.taskpost.svc.cluster.local"]
    assert names == ["taskpost:8080", *within, "tasks.example.com", "*.tasks.example.com", "tasks.example.net"]
    assert Settings(callback_own_names=",".join(names)).callback_own_names == tuple(names)  # type: ignore[arg-type]


def test_extra_env_goes_before_the_charts_own_and_no_name_is_there_twice(tmp_path: Path):
    extra = [{"name": "TASKPOST_BIND", "value": "[::]:8000"}, {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]
    rendered = template(*values_file(tmp_path, {"extraEnv": extra}))
    (container,) = the("Deployment", "taskpost", rendered)["spec"]["template"]["spec"]["containers"]
    names = [one["name"] for one in container["env"]]
    assert len(names) == len(set(names))
    assert [one for one in container["env"] if one["name"] in {"TASKPOST_BIND", "HTTPS_PROXY"}] == extra


def test_certificates_for_callbacks_are_at_the_same_paths_in_the_service_and_in_task_pods(tmp_path: Path):
    given = {"callbacks": {"caConfigMap": "our-ca", "certificateSecret": "our-certificate"}}
    rendered = template(*values_file(tmp_path, given))
    environment = service_environment(rendered)
    files = {name: environment[f"TASKPOST_CALLBACK_{name}_FILE"] for name in ("CA", "CERTIFICATE", "KEY")}
    assert files == {
        "CA": "/etc/taskpost/callback-ca/ca.crt",
        "CERTIFICATE": "/etc/taskpost/callback-certificate/tls.crt",
        "KEY": "/etc/taskpost/callback-certificate/tls.key",
    }
    service = the("Deployment", "taskpost", rendered)["spec"]["template"]["spec"]
    config = the("ConfigMap", "taskpost-task-pods", rendered)["data"]["task-pods.json"]
    task = json.loads(config)["default"]
    wanted = {
        "callback-ca": {"configMap": {"name": "our-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        "callback-certificate": {"secret": {"secretName": "our-certificate"}},
    }
    for volumes, mounts in (
        (service["volumes"], service["containers"][0]["volumeMounts"]),
        (task["volumes"], task["volume_mounts"]),
    ):
        for name, source in wanted.items():
            assert {"name": name} | source in volumes
            assert {"name": name, "mountPath": f"/etc/taskpost/{name}", "readOnly": True} in mounts
    both = {"callbacks": {"caConfigMap": "our-ca", "caSecret": "our-ca"}}
    assert "set one of them" in refusal(*values_file(tmp_path, both))


def test_h06_what_is_said_of_task_pods_reaches_the_jobs(tmp_path: Path):
    from api.type_file import read_type_file
    from runner.tasks.registry import load_all

    volume, mount = {"name": "v", "emptyDir": {}}, {"name": "v", "mountPath": "/v"}
    toleration = {"key": "gpu", "operator": "Exists"}
    common = {
        "resources": {"requests": {"cpu": "1"}},
        "nodeSelector": {"pool": "tasks", "zone": "a"},
        "tolerations": [toleration],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "low",
        "runtimeClassName": "gvisor",
        "serviceAccountName": "tasks",
        "imagePullSecrets": ["third", {"name": "fourth"}],
        "annotations": {"sidecar.istio.io/inject": "false"},
        "labels": {"team": "a"},
        "env": [{"name": "A", "value": "b"}],
        "volumes": [volume],
        "volumeMounts": [mount],
        "command": ["python", "-m", "runner"],
        "runAsUser": 1000930000,
        "queueName": "kueue",
        "jobLabels": {"kueue.x-k8s.io/priority-class": "high"},
    }
    special = {"image": "own:2", "pod": {"nodeSelector": {"pool": "large"}, "tolerations": [toleration]}}
    values = {
        "global": {"imagePullSecrets": ["first"]},
        "imagePullSecrets": [{"name": "second"}],
        "taskPods": common,
        "taskTypes": {"sleep": special},
    }
    path = tmp_path / "task-pods.json"
    rendered = template(*values_file(tmp_path, values))
    path.write_text(json.dumps(task_pods(rendered)))
    types_file = tmp_path / "task-types.yaml"
    types_file.write_text(the("ConfigMap", "taskpost-task-types", rendered)["data"]["task-types.yaml"])
    types = read_type_file(types_file, load_all(), {})
    pods, image = read_pod_file(path), service_environment(rendered)["TASKPOST_RUNNER_IMAGE"]
    default, sleep = pods.of_type(types["fibonacci"], image), pods.of_type(types["sleep"], image)
    assert default.image == "taskpost-runner:0.1.0"
    assert default.image_pull_policy == "IfNotPresent"
    assert default.resources == {
        "requests": {"cpu": "1", "memory": "128Mi"},
        "limits": VALUES["taskPods"]["resources"]["limits"],
    }
    assert default.node_selector == common["nodeSelector"]
    assert default.tolerations == (toleration,)
    assert default.affinity == common["affinity"]
    assert (default.priority_class, default.runtime_class, default.service_account) == ("low", "gvisor", "tasks")
    assert default.pull_secrets == ("first", "second", "third", "fourth")
    assert default.annotations == common["annotations"]
    of_the_release = {"app.kubernetes.io/instance": "taskpost"}
    assert default.labels == common["labels"] | of_the_release
    assert default.env == tuple(common["env"])
    assert (default.volumes, default.volume_mounts) == ((volume,), (mount,))
    assert default.command == ("python", "-m", "runner")
    assert default.run_as_user == 1000930000
    assert default.queue_name == "kueue"
    assert default.job_labels == common["jobLabels"] | of_the_release
    assert sleep.image == "own:2"
    assert sleep.node_selector == {"pool": "large", "zone": "a"}
    assert sleep.tolerations == (toleration, toleration)
    assert sleep.labels == common["labels"] | of_the_release


def test_a_null_takes_a_type_out_of_the_values_and_one_file_is_enough(tmp_path: Path):
    given = {"taskTypes": {"sleep": None, "fibonacci": {"concurrency": 1}}}
    config = the("ConfigMap", "taskpost-task-types", template(*values_file(tmp_path, given)))
    assert yaml.safe_load(config["data"]["task-types.yaml"]) == {"task_types": {"fibonacci": {"concurrency": 1}}}
    assert "set one of them" in refusal(*values_file(tmp_path, given | {"taskTypesFile": "task_types: {}"}))


def test_the_network_policy_of_tasks_selects_their_pods():
    from api.core.observation import AttemptId
    from api.executors.base import AttemptSpec
    from api.executors.kubernetes.job import build_job
    from api.executors.kubernetes.pods import PodSettings
    from api.executors.kubernetes.template import JobSettings

    settings = JobSettings(instance="taskpost", secret="s", start_deadline_seconds=1, grace_seconds=1)
    job = build_job(AttemptSpec(AttemptId("0" * 36, 1), "sleep", {}), settings, PodSettings())
    labels = job["spec"]["template"]["metadata"]["labels"]
    rendered = template()
    wanted = the("NetworkPolicy", "taskpost-tasks", rendered)["spec"]["podSelector"]["matchLabels"]
    assert wanted.items() <= labels.items()
    callers = the("NetworkPolicy", "taskpost-valkey", rendered)["spec"]["ingress"][0]["from"]
    assert wanted in [one["podSelector"]["matchLabels"] for one in callers]
    other = the("NetworkPolicy", "taskpost", rendered)["spec"]["podSelector"]["matchLabels"]
    assert not other.items() <= labels.items()


def test_container_types_reach_dns_redis_and_what_they_list(tmp_path: Path):
    listed = [{"to": [{"ipBlock": {"cidr": "203.0.113.7/32"}}], "ports": [{"port": 443}]}]
    container = {"image": "tool:1", "command": ["tool"], "input_schema": {}}
    types = {"reads": container | {"egress": listed}, "counts.all": container, "gone": None}
    for given in ({"taskTypes": types}, {"taskTypesFile": yaml.safe_dump({"task_types": types})}):
        rendered = template(*values_file(tmp_path, given))
        policies = {one["metadata"]["name"]: one["spec"] for one in of_kind("NetworkPolicy", rendered)}
        assert len(policies) == 6
        of_tasks, of_containers = policies["taskpost-tasks"], policies["taskpost-containers"]
        labels = of_tasks["podSelector"]["matchLabels"]
        (kinds,) = of_tasks["podSelector"]["matchExpressions"]
        assert kinds == {"key": "taskpost.dev/kind", "operator": "NotIn", "values": ["container"]}
        assert of_containers["podSelector"] == {"matchLabels": labels | {"taskpost.dev/kind": "container"}}
        dns, redis = of_containers["egress"]
        assert {port["port"] for port in dns["ports"]} == {53}
        assert redis["ports"] == [{"port": "redis", "protocol": "TCP"}]
        (of_type,) = (spec for name, spec in policies.items() if "-type-" in name)
        assert of_type["podSelector"] == {"matchLabels": labels | {"taskpost.dev/task-type": "reads"}}
        assert of_type["egress"] == listed


def test_with_a_redis_of_one_s_own_container_types_reach_it_alone(tmp_path: Path):
    there = [{"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}], "ports": [{"port": 6380}]}]
    own = {"valkey": {"enabled": False}, "redis": {"existingSecret": "a"}, "runner": {"existingSecret": "b"}}
    (_, anywhere) = egress_of_containers(tmp_path / "anywhere", own)
    assert anywhere == {"to": VALUES["networkPolicy"]["callbacksTo"]}
    assert egress_of_containers(tmp_path / "there", own | {"networkPolicy": {"redisTo": there}})[1:] == there


POLICIES = ("taskpost", "taskpost-tasks", "taskpost-containers")


def egress_of(name: str, tmp_path: Path, policy: dict[str, Any], more: dict[str, Any] | None = None) -> list[Any]:
    given = {"networkPolicy": policy} | (more or {})
    directory = tmp_path / sha256(json.dumps(given).encode()).hexdigest()  # what was rendered of a path is remembered
    directory.mkdir(exist_ok=True)
    rendered = template(*values_file(directory, given))
    return list(the("NetworkPolicy", name, rendered)["spec"]["egress"])


@pytest.mark.parametrize("name", POLICIES)
def test_dns_is_the_cluster_s_own_or_what_is_said(tmp_path: Path, name: str):
    assert egress_of(name, tmp_path, {})[0]["to"] == VALUES["networkPolicy"]["dnsTo"]
    there = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}]
    dns = egress_of(name, tmp_path, {"dnsTo": there, "dnsPorts": [5353]})[0]
    assert dns["to"] == there and {port["port"] for port in dns["ports"]} == {5353}
    assert "to" not in egress_of(name, tmp_path, {"dnsTo": []})[0]


def test_the_api_server_is_reached_by_the_service_alone_where_it_is_known(tmp_path: Path):
    there = [{"ipBlock": {"cidr": "10.0.0.2/32"}}, {"ipBlock": {"cidr": "fd00::2/128"}}]
    policy = {"apiServerTo": there, "apiServerPorts": [6443]}
    _, api_server, _, _, callbacks = egress_of("taskpost", tmp_path, policy)
    assert api_server == {"to": there, "ports": [{"port": 6443, "protocol": "TCP"}]}
    of_tasks = egress_of("taskpost-tasks", tmp_path, policy)
    assert len(of_tasks) == 4 and of_tasks[-1] == callbacks
    _, four, six = callbacks["to"]
    assert four["ipBlock"]["except"][-1] == "10.0.0.2/32" and "fd00::2/128" not in four["ipBlock"]["except"]
    assert six["ipBlock"]["except"][-1] == "fd00::2/128" and "10.0.0.2/32" not in six["ipBlock"]["except"]
    own = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert egress_of("taskpost-tasks", tmp_path, policy | {"callbacksTo": own})[-1] == {"to": own}


def test_pods_of_taskpost_are_no_receivers():
    rendered = template()
    selector = the("NetworkPolicy", "taskpost-tasks", rendered)["spec"]["egress"][-1]["to"][0]["podSelector"]
    (rule,) = selector["matchExpressions"]
    ours = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in rendered
        if one["kind"] in {"Deployment", "StatefulSet"}
    ]
    names = {labels[rule["key"]] for labels in ours} | {"taskpost-task"}
    assert (rule["operator"], set(rule["values"])) == ("NotIn", names)


@pytest.mark.parametrize("name", POLICIES)
def test_a_redis_of_one_s_own_is_reached_by_all(tmp_path: Path, name: str):
    there = [{"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}], "ports": [{"port": 6380}]}]
    own = {"valkey": {"enabled": False}, "redis": {"existingSecret": "a"}, "runner": {"existingSecret": "b"}}
    assert there[0] in egress_of(name, tmp_path, {"redisTo": there}, own)


def egress_of_containers(tmp_path: Path, given: dict[str, Any]) -> list[Any]:
    tmp_path.mkdir()
    policy = the("NetworkPolicy", "taskpost-containers", template(*values_file(tmp_path, given)))
    return list(policy["spec"]["egress"])


@pytest.mark.parametrize("user", [65532, 7, None])
def test_the_user_of_container_types_may_be_left_to_the_cluster(tmp_path: Path, user: int | None):
    path = tmp_path / "task-pods.json"
    given = {"taskPods": {"containerRunAsUser": user, "sidecarResources": {"limits": {"memory": "1Gi"}}}}
    path.write_text(json.dumps(task_pods(template(*values_file(tmp_path, given)))))
    pods = read_pod_file(path).of_type(None, "runner")
    assert pods.container_run_as_user == user
    assert pods.sidecar_resources["limits"] == {"memory": "1Gi"}


def test_h07_with_an_autoscaler_nothing_is_said_of_replicas():
    assert the("Deployment", "taskpost", template())["spec"]["replicas"] == 2
    rendered = template(*EVERYTHING)
    assert "replicas" not in the("Deployment", "taskpost", rendered)["spec"]
    assert of_kind("HorizontalPodAutoscaler", rendered)


def test_h09_one_registry_is_before_every_image(tmp_path: Path):
    values = {"global": {"imageRegistry": "reg.local:5000"}}
    assert images(template(*EVERYTHING, *values_file(tmp_path, values))) == {
        "reg.local:5000/taskpost-api:0.1.0",
        "reg.local:5000/taskpost-runner:0.1.0",
        "reg.local:5000/valkey/valkey:8.1",
    }


def test_h09_a_digest_goes_instead_of_a_tag():
    digest = "sha256:" + "0" * 64
    assert f"taskpost-api@{digest}" in images(template("--set", f"image.digest={digest}"))


def test_k04_every_pod_is_restricted():
    specs = dict(pod_specs(template(*EVERYTHING)))
    assert set(specs) == {"Deployment/taskpost", "StatefulSet/taskpost-valkey", "Pod/taskpost-test"}
    for spec in specs.values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= {"emptyDir", "secret", "configMap", "projected", "persistentVolumeClaim"}
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


def test_only_the_service_has_a_token():
    tokens = {name: spec["automountServiceAccountToken"] for name, spec in pod_specs(template())}
    assert tokens == {"Deployment/taskpost": True, "StatefulSet/taskpost-valkey": False, "Pod/taskpost-test": False}
    assert not any(spec["automountServiceAccountToken"] for _, spec in pod_specs(template("--set", "executor=local")))


def test_k16_no_user_is_named_where_the_value_is_null():
    nothing = [
        f"{prefix}podSecurityContext.{name}=null"
        for prefix in ("", "valkey.")
        for name in ("runAsUser", "runAsGroup", "fsGroup")
    ]
    for _, spec in pod_specs(template("--set", ",".join(nothing))):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(spec["securityContext"])
        assert spec["securityContext"]["runAsNonRoot"] is True


def test_r06_an_external_redis_by_a_secret():
    options = (
        "--set",
        "valkey.enabled=false,redis.existingSecret=own,runner.existingSecret=own-runner,redis.caSecret=ca",
    )
    rendered = template(*options)
    assert not of_kind("StatefulSet", rendered)
    assert not of_kind("Secret", rendered)
    assert service_environment(rendered)["TASKPOST_REDIS_URL"] == {"secretKeyRef": {"name": "own", "key": "redis-url"}}
    spec = the("Deployment", "taskpost", rendered)["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert volumes["runner"]["secret"]["secretName"] == "own-runner"
    assert volumes["redis-ca"]["secret"]["secretName"] == "ca"
    mount = {"name": "redis-ca", "mountPath": "/etc/taskpost/redis-ca", "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]
    pods = task_pods(rendered)["default"]
    assert pods["volume_mounts"] == [mount]
    assert pods["volumes"] == [volumes["redis-ca"]]


def test_r06_an_external_redis_by_its_address():
    url, runner_url = (
        "rediss://service:p@redis:6380/5?ssl_ca_certs=/etc/taskpost/redis-ca/ca.crt",
        "rediss://runner:q@redis:6380/5",
    )
    rendered = template("--set", f"valkey.enabled=false,redis.url={url},redis.runnerUrl={runner_url}")

    def plain(name: str) -> dict[str, str]:
        return {key: base64.b64decode(value).decode() for key, value in the("Secret", name, rendered)["data"].items()}

    assert plain("taskpost-redis") == {"redis-url": url}
    assert plain("taskpost-runner")["redis-url"] == runner_url
    assert url not in template_text("--set", f"valkey.enabled=false,redis.url={url},redis.runnerUrl={runner_url}")


def test_the_bundled_valkey_keeps_what_it_answered():
    lines = the("ConfigMap", "taskpost-valkey", template())["data"]["valkey.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "maxmemory 1536mb"} <= set(lines)


DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
IN_THE_SUM = (
    "queue_max_bytes",
    "queue_max_length",
    "retention_max_bytes",
    "retention_log_max_bytes",
    "undelivered_max_bytes",
    "idempotency_max_keys",
)


def test_what_valkey_may_hold_is_summed_with_the_defaults_of_the_settings():
    """The sum is the same whether a default is left out or written."""
    written = ",".join(f"settings.{name}={DEFAULTS[name]}" for name in (*IN_THE_SUM, "result_max_bytes"))
    for values in ("valkey.maxmemory=1gb", "valkey.resources.limits.memory=2Gi"):
        assert refusal("--set", values) == refusal("--set", f"{values},{written}")
        assert "MiB together" in refusal("--set", values) or "be at least 2404 MiB" in refusal("--set", values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("settings.queue_max_bytes=1073741824", "valkey.maxmemory is 1536mb"),
        ("settings.retention_max_bytes=1073741824", "retention_max_bytes (1024 MiB)"),
        ("settings.retention_log_max_bytes=536870912", "retention_log_max_bytes (512 MiB)"),
        ("settings.undelivered_max_bytes=536870912", "undelivered_max_bytes (512 MiB)"),
        ("settings.queue_max_length=1000000", "queue_max_length (1000000)"),
        ("settings.idempotency_max_keys=10000000", "idempotency_max_keys (10000000)"),
        ("valkey.maxmemoryClients=1gb", "valkey.maxmemoryClients (1024 MiB)"),
        ("valkey.maxmemory=1gb", "valkey.maxmemory is 1gb"),
        ("valkey.maxmemory=2500mb", "valkey.maxmemory is 2500mb and valkey.resources.limits.memory is 3Gi"),
        ("valkey.maxmemory=2500mb", "valkey.maxmemory may be at most 1981 MiB"),
        ("valkey.maxmemory=2500mb", "valkey.resources.limits.memory must be at least 3850 MiB"),
        ("valkey.maxmemory=4gb", "valkey.maxmemory is 4gb and valkey.resources.limits.memory is 3Gi"),
        ("valkey.resources.limits.memory=2Gi", "valkey.resources.limits.memory is 2Gi"),
        ("valkey.resources.limits.memory=2000M", "valkey.resources.limits.memory is 2000M"),
        ("valkey.resources.limits.memory=2e9", "valkey.resources.limits.memory is 2e9"),
        ("settings.concurrency=100", "results and inputs of settings.concurrency (100) attempts"),
        ("settings.undelivered_max_bytes_per_receiver=1000", "settings.undelivered_max_bytes_per_receiver is 1000"),
        ("settings.undelivered_max_bytes=10000000", "settings.undelivered_max_bytes is 10000000"),
        ("settings.result_max_bytes=67108864", "what one result of settings.result_max_bytes takes"),
        ("valkey.resources.limits.memory=plenty", "at '/valkey/resources/limits/memory': 'plenty' does not match"),
    ],
)
def test_memory_that_does_not_add_up_is_refused(values: str, words: str):
    assert words in refusal("--set", values)


@pytest.mark.parametrize(
    "values",
    [
        "valkey.maxmemory=4gb,valkey.resources.limits.memory=8Gi,settings.retention_max_bytes=2147483648",
        "valkey.maxmemory=1gb,settings.retention_max_bytes=0",
        "valkey.maxmemory=1360mb,settings.retention_log_max_bytes=0",
        "valkey.resources.limits.memory=3500M,settings.concurrency=50",
        "valkey.resources.limits.memory=3221225472",
        "valkey.resources.limits.memory=3.3e9",
        "valkey.resources.limits=null",
        "valkey.enabled=false,redis.url=redis://r,settings.retention_max_bytes=99999999999",
    ],
)
def test_memory_that_adds_up_is_rendered(values: str):
    assert template("--set", values)


def test_signing_keys_are_taken_as_given():
    key = "whsec_" + base64.b64encode(bytes(32)).decode()
    secret = the("Secret", "taskpost-runner", template("--set", f"signing.keys={{{key}}}"))
    assert base64.b64decode(secret["data"]["signing-keys"]).decode() == f"{key}\n"


def test_two_releases_share_no_object_and_select_none_of_each_others_pods():
    one, two = template(*EVERYTHING, release="a"), template(*EVERYTHING, release="b")

    def names(manifests: list[Manifest]) -> set[tuple[str, str]]:
        return {(one["kind"], one["metadata"]["name"]) for one in manifests}

    assert not names(one) & names(two)
    ours = of_kind("Service", one)[0]["spec"]["selector"]
    for manifest in two:
        labels = manifest.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
        assert not ours.items() <= labels.items()
    acl = base64.b64decode(the("Secret", "b-taskpost-redis", template(release="b"))["data"]["users.acl"]).decode()
    assert f"~{key_prefix('b-taskpost')}* " in acl


def test_a10_liveness_does_not_ask_redis_and_readiness_does():
    (container,) = the("Deployment", "taskpost", template())["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    readiness = container["readinessProbe"]
    assert readiness["failureThreshold"] * (readiness["periodSeconds"] + readiness["timeoutSeconds"]) < 40


def test_an_ingress_leads_to_the_service_under_its_path():
    rendered = template("--set", "ingress.enabled=true,settings.root_path=/tasks,ingress.className=nginx")
    (ingress,) = of_kind("Ingress", rendered)
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["backend"]["service"]["name"]) == ("/tasks", "taskpost")


def known_series() -> set[str]:
    from prometheus_client.core import CollectorRegistry

    from api.web.metrics import QueueCollector
    from tests.support.counts import NOTHING, NOTHING_COUNTED

    registry = CollectorRegistry()
    registry.register(QueueCollector(NOTHING, NOTHING_COUNTED, 1))
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    return {f"{metric.name}{suffix}" for metric in registry.collect() for suffix in suffixes.get(metric.type, ("",))}


def test_alerts_name_metrics_that_exist():
    (rule,) = of_kind("PrometheusRule", template(*EVERYTHING))
    used = {name for one in rule["spec"]["groups"][0]["rules"] for name in re.findall(r"taskpost_\w+", one["expr"])}
    assert used
    assert used <= known_series()


def test_the_queries_of_the_page_on_operations_name_metrics_and_buckets_that_exist():
    page = (ROOT / "docs" / "operations.md").read_text()
    queries = [query for query in re.findall(r"`([^`\n]+)`", page) if "rate(taskpost_" in query]
    assert len(queries) == 4
    assert {name for query in queries for name in re.findall(r"taskpost_\w+", query)} <= known_series()
    buckets = re.search(r"^local BUCKETS = \{(.+)\}", (ROOT / "runner/lua/metrics.lua").read_text(), re.MULTILINE)
    assert buckets is not None
    bounds = {str(int(bound) / 1000) for bound in buckets[1].split(",")}
    assert {bound for query in queries for bound in re.findall(r'le="(.+?)"', query)} <= bounds


def test_dead_callbacks_raise_an_alert_of_one_replica_and_of_this_release():
    values = ("--set", "prometheusRule.enabled=true,prometheusRule.deliveriesDead=7")
    (rule,) = of_kind("PrometheusRule", template(*values))
    (alert,) = (one for one in rule["spec"]["groups"][0]["rules"] if one["alert"] == "TaskpostDeliveriesDead")
    assert alert["expr"] == (
        'sum(max by (result) (increase(taskpost_deliveries_total{namespace="taskpost",service="taskpost"'
        ',result=~"dead|blocked|dropped"}[1h]))) > 7'
    )
    assert "for" not in alert  # what is dead is dead
    assert run_helm("template", "x", str(CHART), "--set", "prometheusRule.deliveriesDead=-1").returncode
