"""From the chart as it was to the chart as it is: names, selectors and tasks that run or wait are kept."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.release import CHART, Release

if TYPE_CHECKING:
    from pathlib import Path

LONG = "a-release-of-which-the-name-is-as-long-as-one-may-be"
INSTANCE = "app.kubernetes.io/instance"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with names and labels as before: cut to 40 characters, and the instance was the name of the objects."""
    chart = shutil.copytree(CHART, tmp_path_factory.mktemp("earlier") / "taskpost")
    path = chart / "templates" / "_names.tpl"
    text, cuts = re.subn(
        r'\{\{- \$name = printf "%s-%s" \(trunc 31 .*\) -\}\}',
        '{{- $name = trunc 40 $name | trimSuffix "-" -}}',
        path.read_text(),
    )
    label = f"{INSTANCE}: "
    assert cuts == 1 and text.count(f"{label}{{{{ .Release.Name | quote }}}}") == 1
    path.write_text(
        text.replace(f"{label}{{{{ .Release.Name | quote }}}}", label + '{{ include "taskpost.freshName" . }}')
    )
    return chart


@pytest.mark.parametrize(("name", "prefix"), [("jobs", "jobs-taskpost"), (LONG, LONG[:40])])
def test_an_upgrade_keeps_names_selectors_and_tasks(make_namespace, earlier: Path, name: str, prefix: str):
    namespace = make_namespace("upgrade")
    values = {"replicaCount": 1, "settings": {"concurrency": 1}}
    release = Release(namespace, values, name=name, chart=earlier)
    release.use(prefix)
    release.install()
    before = {kind: release.get(kind, each)["metadata"]["uid"] for kind, each in objects(prefix)}
    assert release.pods("service")[0]["metadata"]["labels"][INSTANCE] == prefix
    running, waiting = (release.submit("sleep", {"seconds": 20}) for _ in range(2))
    release.running(running)
    release.chart = CHART
    release.upgrade(podAnnotations={"upgraded": "yes"})
    assert {kind: release.get(kind, each)["metadata"]["uid"] for kind, each in objects(prefix)} == before
    (pod,) = (pod for pod in release.pods("service") if "deletionTimestamp" not in pod["metadata"])
    assert pod["metadata"]["labels"][INSTANCE] == prefix
    assert release.get("service", prefix)["metadata"]["labels"][INSTANCE] == name
    assert release.ended(running)["attempt"] == 1
    assert release.ended(waiting)["task_status"] == "done"
    assert release.job_of(release.submit("sleep", {"seconds": 1}))["metadata"]["labels"][INSTANCE] == name
    release.upgrade(podAnnotations={"upgraded": "again"})
    release.uninstall()


def objects(prefix: str) -> list[tuple[str, str]]:
    names = {
        "deployment": prefix,
        "statefulset": f"{prefix}-valkey",
        "persistentvolumeclaim": f"data-{prefix}-valkey-0",
    }
    return [*names.items(), ("configmap", f"{prefix}-jobs")]
