"""Task types of one's own on the cluster: added, changed and removed by `helm upgrade`, with no pod made anew."""

from __future__ import annotations

import pytest

from tests.e2e.release import ROOT, until

TEMPLATE = ROOT / "docs" / "template"
IMAGE = "localhost/taskpost-template:latest"
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


def test_a_type_is_added_and_removed_by_an_upgrade_without_a_restart(release, receiver):
    before = of_service(release)
    running = release.submit("sleep", {"seconds": 600}, receiver.url)
    release.running(running)
    text = (TEMPLATE / "task-types.yaml").read_text().replace("acme-tasks:1.0", IMAGE)
    release.upgrade(taskTypesFile=text)
    until(lambda: "word_count" in offered(release), PROPAGATED_SECONDS, "it to be offered")
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
