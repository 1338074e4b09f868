"""What the objects of a release are called, and by which labels they are found. tests/e2e tests what upgrades keep."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.rendering import CHART, EVERYTHING, Manifest, of_kind, template, the

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = "a-release-of-which-the-name-is-as-long-as-one-may-be"
INSTANCE = "app.kubernetes.io/instance"
LONGEST_LABEL = 63
HASH_OF_A_REVISION = "-0123456789"
"""What Kubernetes adds to the name of a StatefulSet, in a label of its pods."""


def labelled(value: object) -> Iterator[dict[str, Any]]:
    """All maps of labels, of objects, pods and claims, and all that select by labels."""
    if isinstance(value, dict):
        for name, member in value.items():
            is_map = isinstance(member, dict) and not {"matchLabels", "matchExpressions"} & member.keys()
            if name in {"labels", "matchLabels", "selector", "podSelector"} and is_map:
                yield member
            else:
                yield from labelled(member)
    elif isinstance(value, list):
        for member in value:
            yield from labelled(member)


def named(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {(one["kind"], one["metadata"]["name"]) for one in manifests}


@pytest.mark.parametrize("release", ["taskpost", "a", "a.b", "1", "true", LONG, f"{LONG}x"])
def test_the_instance_is_the_release_s_name_everywhere(release: str):
    for manifest in template(*EVERYTHING, release=release):
        assert manifest["metadata"]["labels"][INSTANCE] == release
        for labels in labelled(manifest):
            if labels.get("app.kubernetes.io/name") == "taskpost":
                assert labels[INSTANCE] == release
        if "task-pods.json" in manifest.get("data", {}):
            pods = json.loads(manifest["data"]["task-pods.json"])["default"]
            assert pods["labels"] == pods["job_labels"] == {INSTANCE: release}


@pytest.mark.parametrize(
    "release", ["a.b", "1", "1-taskpost", "true", "taskpost.dev", LONG, f"{LONG}x", "a" * 53, "a-" * 26 + "a"]
)
def test_every_name_is_one_that_kubernetes_takes(release: str):
    for kind, name in named(template(*EVERYTHING, release=release)):
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name), f"a Service's name is the strictest: {kind} {name}"
        assert len(name + HASH_OF_A_REVISION) <= LONGEST_LABEL


@pytest.mark.parametrize(
    ("one", "other"),
    [(LONG, f"{LONG}x"), ("a" * 52, "a" * 53), ("a.b", "a-b"), ("1", "t1"), (f"{LONG[:40]}-b", f"{LONG[:40]}-c")],
)
def test_releases_whose_names_begin_alike_share_no_object_and_no_key(one: str, other: str):
    ours, theirs = template(*EVERYTHING, release=one), template(*EVERYTHING, release=other)
    assert not named(ours) & named(theirs)
    instances = {environment_of(manifests)["TASKPOST_INSTANCE"] for manifests in (ours, theirs)}
    assert len(instances) == 2
    (service,) = of_kind(
        "Service", [each for each in ours if each["metadata"]["labels"]["app.kubernetes.io/component"] == "service"]
    )
    for manifest in theirs:
        labels = manifest.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
        assert not service["spec"]["selector"].items() <= labels.items()


def environment_of(manifests: list[Manifest]) -> dict[str, Any]:
    (deployment,) = of_kind("Deployment", manifests)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value") for one in container["env"]}


def test_names_of_up_to_forty_characters_stay_as_they_were():
    for release, name in (
        ("taskpost", "taskpost"),
        ("a", "a-taskpost"),
        ("my-taskpost-2", "my-taskpost-2"),
        ("b" * 31, "b" * 31 + "-taskpost"),
    ):
        assert the("Deployment", name, template(release=release))


def test_every_name_goes_by_the_one_helper():
    for path in (CHART / "templates").glob("**/*.yaml"):
        for name in re.findall(r"^  name: (.*)$", path.read_text(), re.MULTILINE):
            assert re.match(r'\{\{ (include "taskpost\.\w+" (\.|\$)|\$name|\$redis|\$runner)( \| quote)? \}\}', name), (
                f"{path.name}: {name}"
            )


def test_twice_in_one_umbrella_they_do_not_meet(tmp_path: Path):
    umbrella = tmp_path / "umbrella"
    shutil.copytree(CHART, umbrella / "charts" / "taskpost")
    dependencies = [
        {"name": "taskpost", "version": "0.1.0"},
        {"name": "taskpost", "version": "0.1.0", "alias": "second"},
    ]
    about = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": dependencies}
    (umbrella / "Chart.yaml").write_text(json.dumps(about))
    rendered = template(release="shop", chart=umbrella)
    services = [one for one in of_kind("Service", rendered) if not one["metadata"]["name"].endswith("-valkey")]
    assert sorted(one["metadata"]["name"] for one in services) == ["shop-second", "shop-taskpost"]
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in of_kind("Deployment", rendered)
    }
    for service in services:
        selected = [name for name, labels in pods.items() if service["spec"]["selector"].items() <= labels.items()]
        assert selected == [service["metadata"]["name"]]
