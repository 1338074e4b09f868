"""What the chart refuses, each at its own place: what the API server or the service would refuse later."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from api.settings import Settings
from runner.tasks.registry import BUILT_IN, NAME
from tests.deploy.rendering import CHART, refusal, template, the
from tests.support.pages import commands

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def values_file(tmp_path: Path, values: object) -> tuple[str, str]:
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps(values))
    return "--values", str(path)


def types_file(tmp_path: Path, text: str) -> tuple[str, str]:
    path = tmp_path / "task-types.yaml"
    path.write_text(text)
    return "--set-file", f"taskTypesFile={path}"


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ("resources.limits.memory=lots", "/resources/limits/memory"),
        ("resources.requests.cpu=half", "/resources/requests/cpu"),
        ("resources.requests.cpu=-1", "/resources/requests/cpu"),
        ("taskPods.resources.limits.memory=lots", "/taskPods/resources/limits/memory"),
        ("taskPods.sidecarResources.limits.memory=1 Gi", "/taskPods/sidecarResources/limits/memory"),
        ("taskTypes.sleep.pod.resources.limits.memory=lots", "/taskTypes/sleep/pod/resources/limits/memory"),
        ("valkey.resources.requests.memory=256MiB", "/valkey/resources/requests/memory"),
        ("valkey.maxmemory=lots", "/valkey/maxmemory"),
        ("valkey.maxmemory=0", "/valkey/maxmemory"),
        ("valkey.persistence.size=big", "/valkey/persistence/size"),
        ("valkey.persistence.accessModes={ReadWrite}", "/valkey/persistence/accessModes/0"),
        ("image.registry=https://images.example.com", "/image/registry"),
        ("global.imageRegistry=registry example", "/global/imageRegistry"),
        ("image.repository=taskpost api", "/image/repository"),
        ("image.tag=a/b", "/image/tag"),
        ("taskTypes.sleep.image=bad image!", "/taskTypes/sleep/image"),
        ("taskTypes.sleep.python=acme.tasks", "/taskTypes/sleep/python"),
        ("commonLabels.team=a b", "/commonLabels/team"),
        ("nodeSelector.pool=a/b", "/nodeSelector/pool"),
        ("podDisruptionBudget.maxUnavailable=some", "/podDisruptionBudget/maxUnavailable"),
        ("serviceMonitor.interval=often", "/serviceMonitor/interval"),
        ("ingress.hosts={tasks.example.com/path}", "/ingress/hosts/0"),
        ("settings.root_path=tasks", "/settings/root_path"),
        ("valkey.enabled=false,redis.url=redis.example.com:6379", "/redis/url"),
        ("settings.callback_proxy=proxy:3128", "/settings/callback_proxy"),
        ("settings.concurrency=0", "/settings/concurrency"),
        ("settings.concurrency=10001", "/settings/concurrency"),
        ("signing.keys={whsec_short}", "/signing/keys/0"),
        ("priorityClassName=High Priority", "/priorityClassName"),
        ("extraEnv[0].value=a", "/extraEnv/0"),
        ("tolerations[0].kee=gpu", "/tolerations/0"),
        ("taskPods.affinity.nodeAfinity.a=b", "/taskPods/affinity"),
        ("taskPods.queueName=a b", "/taskPods/queueName"),
        ("taskPods.runAsUser=10000000000", "/taskPods/runAsUser"),
        ("taskPods.imagePullSecrets={A B}", "/taskPods/imagePullSecrets/0"),
        ("extraVolumes[0].name=v", "/extraVolumes/0"),
        ("extraVolumeMounts[0].name=v", "/extraVolumeMounts/0"),
        ("taskPods.volumeMounts[0].name=v,taskPods.volumeMounts[0].mountPath=v", "/taskPods/volumeMounts/0/mountPath"),
    ],
)
def test_what_no_cluster_or_service_takes_is_refused_by_the_schema(values: str, place: str):
    assert f"at '{place}'" in refusal("--set", values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("taskTypes.Foo.python=a:b", 'taskTypes.Foo: "Foo" is not a name for a task type'),
        ("taskTypes.foo-.enabled=false", 'taskTypes.foo-: "foo-" is not a name for a task type'),
        ("taskTypes.foo.python=a:b", "taskTypes.foo.input_schema is missing"),
        ("taskTypes.foo.concurrency=2", "taskTypes.foo: the service does not know this type: set `python`"),
        ("taskTypes.foo.concurrency=2", "taskTypes.foo.input_schema is missing"),
        ("taskTypes.foo.command={run},taskTypes.foo.input_schema.type=object", "taskTypes.foo.image is missing"),
        (
            "taskTypes.sleep.command={run},taskTypes.sleep.python=a:b",
            "taskTypes.sleep: `python` and `command` are both",
        ),
        ("taskTypes.sleep.egress[0].to[0].ipBlock.cidr=192.0.2.0/24", "taskTypes.sleep.egress is for types with"),
        ("settings.type_concurrency.foo=2", "settings.type_concurrency.foo: there is no such task type"),
        (
            "settings.type_concurrency.sleep=2,taskTypes.sleep.enabled=false",
            "settings.type_concurrency.sleep: there is no such task type",
        ),
        (
            "resources.requests.memory=1Gi",
            "resources.requests.memory is 1Gi: it may be at most resources.limits.memory",
        ),
        ("taskPods.resources.limits.cpu=50m", "taskPods.resources.requests.cpu is 100m: it may be at most taskPods."),
        ("taskPods.sidecarResources.limits.memory=40M", "taskPods.sidecarResources.requests.memory is 48Mi"),
        ("valkey.resources.requests.memory=4Gi", "valkey.resources.requests.memory is 4Gi"),
        ("autoscaling.enabled=true,autoscaling.minReplicas=7", "autoscaling.minReplicas is 7: it may be at most"),
        ("service.nodePort=30080", "service.nodePort is 30080: set service.type to NodePort"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_names_of_the_values(values: str, message: str):
    assert message in refusal("--set", values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task_types: [", "taskTypesFile cannot be read as YAML"),
        ("- sleep", "taskTypesFile cannot be read as YAML"),
        ("types: {}", "taskTypesFile must be a map with one member, `task_types`"),
        ("task_types: [sleep]", "taskTypesFile must be a map with one member, `task_types`"),
        ("task_types: {sleep: 3}", "taskTypesFile: task_types.sleep: a task type is a map"),
        ("task_types: {Foo: {python: a:b}}", 'taskTypesFile: task_types.Foo: "Foo" is not a name'),
        ("task_types: {foo: {python: a:b}}", "taskTypesFile: task_types.foo.input_schema is missing"),
        (
            "task_types: {foo: {image: a, command: [b], input_schema: {}, egress: anywhere}}",
            "taskTypesFile: task_types.foo.egress must be a list of rules",
        ),
    ],
)
def test_the_file_of_task_types_is_refused_in_the_same_words(tmp_path: Path, text: str, message: str):
    assert message in refusal(*types_file(tmp_path, text))


def test_all_types_that_are_wrong_are_named_in_one_round(tmp_path: Path):
    given = {"Foo": {"python": "a:b"}, "bar": {"command": ["x"]}, "sleep": {"concurrency": 2}}
    said = refusal(*values_file(tmp_path, {"taskTypes": given}))
    assert re.findall(r"^taskTypes\.(\S+?):? ", said, re.MULTILINE) == [
        *("Foo", "Foo.input_schema", "bar.input_schema", "bar.image"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"taskTypes": {"sleep": {"concurrency": 1}, "gone": None, "off": {"enabled": False}}},
        {"taskTypes": {"of_a_module": {"concurrency": 1}}, "settings": {"task_modules": ["acme"]}},
        {"taskTypes": {"of_the_image": {"python": "acme:f"}}, "executor": "local"},
        {"taskTypes": {"of_a_module": {}}, "extraEnv": [{"name": "TASKPOST_TASK_MODULES", "value": "acme"}]},
        {"taskTypes": {"mine": {"python": "a:b", "input_schema": {}}}, "settings": {"type_concurrency": {"mine": 1}}},
        {"settings": {"type_concurrency": {"sleep": 1, "of_a_module": 2}, "task_modules": ["acme"]}},
        {"resources": {"limits": {"cpu": 2, "memory": "1e9"}, "requests": {"cpu": 0.5, "memory": "128974848"}}},
        {"image": {"registry": "reg.local:5000/team/", "repository": "taskpost-api"}},
        {"image": {"registry": "", "repository": "images.example.com:5000/a/b__c"}},
        {"podDisruptionBudget": {"maxUnavailable": "50%"}},
        {"service": {"type": "NodePort", "nodePort": 30080}},
    ],
)
def test_what_works_is_rendered(tmp_path: Path, given: dict[str, Any]):
    rendered = template(*values_file(tmp_path, given))
    types = yaml.safe_load(the("ConfigMap", "taskpost-task-types", rendered)["data"]["task-types.yaml"])["task_types"]
    assert types == {name: one for name, one in given.get("taskTypes", {}).items() if one is not None}


def test_the_names_of_types_are_those_of_the_service():
    helper = (CHART / "templates" / "_types.tpl").read_text()
    assert f'regexMatch "^{NAME.pattern}$" $name' in helper
    assert f"$builtIn := list {' '.join(map(json.dumps, BUILT_IN))}" in helper


KINDS = {"Gt": "exclusiveMinimum", "Ge": "minimum", "Lt": "exclusiveMaximum", "Le": "maximum"}


def test_the_bounds_of_the_settings_are_those_of_the_service():
    for name, schema in SCHEMA["properties"]["settings"]["properties"].items():
        field = Settings.model_fields[name]
        wanted = {
            KINDS[type(one).__name__]: next(iter(vars_of(one))) for one in field.metadata if type(one).__name__ in KINDS
        }
        assert {kind: schema[kind] for kind in KINDS.values() if kind in schema} == wanted, name


def vars_of(bound: object) -> list[Any]:
    """The value of a bound of pydantic's, which has one member."""
    return [getattr(bound, name) for name in ("gt", "ge", "lt", "le") if hasattr(bound, name)]


def test_the_refusals_on_the_page_are_those_of_helm():
    shown = commands("kubernetes", "## Values that matter")
    assert len(shown) == 2
    for line, output in shown:
        *program, name, value = line.split()
        assert program == ["helm", "template", "taskpost", "helm"]
        assert output.strip() in refusal(name, value)


def test_kubernetes_before_the_oldest_we_support_is_refused():
    assert "kubeVersion: >=1.31.0-0" in refusal("--kube-version", "1.30.9")
