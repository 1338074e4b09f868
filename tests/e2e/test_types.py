"""Task types of one's own on the cluster: added as the page says, changed and removed, with no pod made anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.release import ROOT, run, until
from tests.support.pages import commands, follow

TYPES = "docs/template/task-types.yaml"
IMAGE = "localhost/taskpost-template:latest"
IMAGES = {"acme-tasks:1.0": IMAGE, "busybox:1.37": "localhost/taskpost-valkey:latest"}
"""What is in the place of the page's images: the cluster may have no way to a registry."""
PROPAGATED_SECONDS = 150
"""The kubelet renews a mounted ConfigMap once a minute or so."""


@pytest.fixture(scope="module")
def values():
    return {"settings": {"concurrency": 4, "grace_seconds": 3}}


def offered(release):
    return {one["name"] for one in release.call("GET", "/api/task-types").json()}


def of_service(release):
    return {
        pod["metadata"]["uid"]: [status["restartCount"] for status in pod["status"]["containerStatuses"]]
        for pod in release.pods("service")
    }


def test_types_are_added_as_the_page_says_and_removed_without_a_restart(release, receiver, tmp_path):
    before = of_service(release)
    running = release.submit("sleep", {"seconds": 600}, receiver.url)
    release.running(running)
    build, complete, upgrade, _ = (command.line for command in commands("task-types", "### 6. On Kubernetes"))
    assert build.endswith(" docs/template"), "from which tests/cluster/images.sh has built it"
    types, whole = tmp_path / "task-types.yaml", tmp_path / "complete.yaml"
    text = (ROOT / TYPES).read_text()
    for image, ours in IMAGES.items():
        assert image in text
        text = text.replace(image, ours)
    types.write_text(text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    line = complete.replace(TYPES, str(types)).replace("complete.yaml", str(whole))
    subprocess.run(line, shell=True, cwd=ROOT, env=os.environ | {"PATH": path}, check=True)
    words = upgrade.replace("--namespace taskpost", f"--namespace {release.namespace}")
    words = words.replace("complete.yaml", str(whole))
    assert words != upgrade
    run(*words.split())
    until(lambda: {"word_count", "checksum"} <= offered(release), PROPAGATED_SECONDS, "them to be offered")
    _serve, *submits = commands("task-types", "### 5. On a laptop")
    follow(submits, ROOT, release.forward.url())
    task_id = release.submit("word_count", {"text": "to be or not to be", "most": 1}, receiver.url)
    # The replica that leads may be given the file later than the one that has taken the task.
    assert receiver.of(task_id, PROPAGATED_SECONDS)["result"] == {"words": 6, "most": [["to", 2]]}
    failed = release.submit("word_count", {"text": ""}, receiver.url)
    assert receiver.of(failed)["error"]["code"] == "no_text"
    (container,) = release.pod_of(release.submit("word_count", {"text": "a"}))["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["resources"]["limits"] == {"memory": "256Mi", "ephemeral-storage": "1Gi"}
    release.upgrade(taskTypesFile="", taskTypes={"sleep": {"enabled": False}})
    until(lambda: not {"word_count", "sleep"} & offered(release), PROPAGATED_SECONDS, "both to be gone")
    assert release.call("POST", "/api/tasks", json={"task_type": "sleep", "result_url": None}).status_code == 400
    assert release.task(running)["task_status"] == "running"
    assert of_service(release) == before
    release.call("DELETE", f"/api/tasks/{running}")


FAULTY = """
task_types:
  right: {python: acme.tasks:word_count, input_schema: {type: object}}
  Wrong: {python: acme.tasks:word_count, input_schema: {type: object}}
  worse: {image: bad image!, command: [a], input_schema: {type: array}}
"""


@pytest.mark.parametrize(("text", "right"), [(FAULTY, {"right", "fibonacci"}), ("task_types: [", {"fibonacci"})])
def test_a_faulty_file_does_not_stop_a_new_pod_from_serving_the_types_that_are_right(release, text, right):
    """The chart refuses such files, so this one comes from elsewhere."""
    changed = json.dumps({"data": {"task-types.yaml": text}})
    release.kubectl("patch", "configmap", f"{release.prefix}-task-types", "--type=merge", "--patch", changed)
    release.kubectl("rollout", "restart", f"deployment/{release.prefix}")
    release.kubectl("rollout", "status", f"deployment/{release.prefix}", "--timeout=90s")
    release.forward.close()
    until(lambda: right <= offered(release), 30, "the right types")
    assert not {"Wrong", "worse"} & offered(release)
    assert release.ended(release.submit("fibonacci", {"n": 10}))["task_status"] == "done"
