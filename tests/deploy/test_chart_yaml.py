"""Values that YAML or Helm read as something else than was meant: names that look like numbers, nulls, `n` as false."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from api.strict_yaml import parse
from tests.deploy.rendering import CHART, EVERYTHING, Manifest, refusal, template, the
from tests.deploy.test_chart_refusals import types_file, values_file
from tests.deploy.test_schemas import CUSTOM, OLDEST, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = jsonschema.Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
LIKE_OTHERS = ("1e3", "123", "0x10", "yes", "null", "2026-01-01")
"""Names that Kubernetes takes, and that YAML 1.1 reads as something else if they are not in quotes."""
NAMES = (
    "redis.existingSecret", "runner.existingSecret", "redis.caSecret", "callbacks.caSecret",
    "callbacks.certificateSecret", "serviceAccount.name", "priorityClassName", "runtimeClassName",
    "valkey.priorityClassName", "ingress.className", "valkey.persistence.storageClass", "instance",
)  # fmt: skip


def check_all(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            check(manifest, OLDEST)


@pytest.mark.parametrize("text", LIKE_OTHERS)
def test_names_that_look_like_something_else_stay_texts(text: str):
    values = ",".join(f"{name}={text}" for name in NAMES)
    rendered = template(*EVERYTHING, "--set-string", values, "--namespace", text)
    check_all(rendered)
    assert {manifest["metadata"]["namespace"] for manifest in rendered} == {text}


@pytest.mark.parametrize("name", ["yes", "no", "on", "off", "y", "n", "true", "false", "null"])
def test_no_object_has_a_name_that_yaml_takes_for_another_kind(name: str):
    assert "at '/fullnameOverride'" in refusal("--set-string", f"fullnameOverride={name}")


def paths(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The paths of all values, each with whether values of ours are beneath it."""
    for name, value in values.items():
        is_group = isinstance(value, dict) and not name.endswith(("Probe", "SecurityContext"))
        yield (*above, name), bool(value) and is_group
        if is_group:
            yield from paths(value, (*above, name))


def parent(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    """The map in which a value is, which is made if need be; None where there is a null above."""
    for step in path[:-1]:
        inner = values.setdefault(step, {})
        if inner is None:
            return None
        values = inner
    return values


@pytest.mark.parametrize("groups", [True, False], ids=["groups", "values"])
def test_every_null_is_refused_at_its_place_or_stands_for_nothing(tmp_path: Path, *, groups: bool):
    given: dict[str, Any] = {name: {"enabled": True} for name in ("ingress", "serviceMonitor", "prometheusRule")}
    refused: list[tuple[str, ...]] = []
    for path, is_group in paths(VALUES):
        if is_group is not groups or path[:1] in refused or path == ("valkey", "image", "tag"):
            continue
        values = copy.deepcopy(VALUES)
        parent(values, path).pop(path[-1])  # as Helm does with a default that is null in the values that are given
        if not SCHEMA.is_valid(values):
            refused.append(path)
        elif (inside := parent(given, path)) is not None:
            inside[path[-1]] = None
    check_all(template("--api-versions", "monitoring.coreos.com/v1", *values_file(tmp_path, given)))
    said = refusal("--set", ",".join(f"{'.'.join(path)}=null" for path in refused))
    for *above, name in refused:
        place = f"at '{''.join(map('/{}'.format, above))}': missing propert"
        assert any(place in line and f"'{name}'" in line for line in said.splitlines()), (above, name)


def test_a_null_within_a_setting_leaves_it_to_the_service():
    rendered = template("--set", "settings.type_concurrency.sleep=null,settings.type_concurrency.fibonacci=3")
    (container,) = the("Deployment", "taskpost", rendered)["spec"]["template"]["spec"]["containers"]
    assert {"name": "TASKPOST_TYPE_CONCURRENCY", "value": "fibonacci=3"} in container["env"]
    assert template("--set", "settings.type_concurrency.no_such_type=null")


@pytest.mark.parametrize("place", ["", "valkey.", "taskPods."])
def test_a_null_in_a_map_takes_its_name_out(place: str):
    nulls = ["nodeSelector", *(["annotations", "labels", "jobLabels"] if place == "taskPods." else ["podLabels"])]
    values = ",".join(f"{place}{name}.gone=null,{place}{name}.kept=yes" for name in nulls)
    rendered = template("--set", f"{values},commonLabels.gone=null")
    assert all("gone" not in str(manifest) for manifest in rendered)
    assert any("'kept': 'yes'" in str(manifest) or '"kept": "yes"' in str(manifest) for manifest in rendered)


def test_a_host_given_twice_has_one_rule():
    rendered = template("--set", "ingress.enabled=true,ingress.hosts={a.example,b.example,a.example}")
    rules = the("Ingress", "taskpost", rendered)["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["a.example", "b.example"]


def test_the_ports_of_the_api_server_are_never_all_ports():
    assert "at '/networkPolicy/apiServerPorts'" in refusal("--set-json", "networkPolicy.apiServerPorts=[]")


def test_valkey_s_image_has_a_tag_of_its_own():
    assert "valkey.image.tag is empty" in refusal("--set", "valkey.image.tag=")


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ("{properties: {n: {type: integer}}}", "properties.false"),
        ("{properties: {a: {properties: {y: {}}}}}", "properties.a.properties.true"),
        ("{anyOf: [{}, {required: [a], properties: {on: {}}}]}", "anyOf[1].properties.true"),
    ],
)
def test_a_name_that_helm_has_read_as_true_or_false_is_refused(tmp_path: Path, schema: str, place: str):
    path = tmp_path / "values.yaml"
    path.write_text(f"taskTypes: {{mine: {{python: a:b, input_schema: {schema}}}}}")
    said = refusal("--values", str(path))
    assert f"taskTypes.mine.input_schema.{place}: Helm reads the names n, no and off" in said


TYPE = "task_types: {mine: {python: a:b, input_schema: {properties: {n: {enum: [=, <<, 1e3, '1e3', 'yes']}}}}}"


@pytest.mark.parametrize(
    "text",
    [
        *(f"{before}{TYPE}{after}" for before in ("", "    # indented\n", "\n\n  \n") for after in ("", "\n\n")),
        TYPE.replace("mine", "'true'"),
        f"{TYPE} # \u00fc \U0001f600\r\n",
    ],
)
def test_the_file_of_types_reaches_the_service_as_it_is(tmp_path: Path, text: str):
    config = the("ConfigMap", "taskpost-task-types", template(*types_file(tmp_path, text)))
    assert parse(config["data"]["task-types.yaml"]) == parse(text)
    assert not parse(text).faults


def test_types_in_the_values_reach_the_service_as_they_are(tmp_path: Path):
    enum = ["=", "<<", "1e3", "yes", "0x10", "2026-01-01", "12:30:00", "~", ".5", 1.5, True, None, 12345678901]
    of_type = {"python": "a:b", "input_schema": {"enum": enum, "maximum": 10000000, "multipleOf": 1e-07}}
    rendered = template(*values_file(tmp_path, {"taskTypes": {"mine": of_type}}))
    document = parse(the("ConfigMap", "taskpost-task-types", rendered)["data"]["task-types.yaml"])
    assert not document.faults
    assert document.value == {"task_types": {"mine": of_type}}
