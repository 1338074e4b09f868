"""Container types in a cluster: an image with a static binary and nothing else, beside our runner."""

from __future__ import annotations

import json
import signal
from urllib.parse import urlsplit

import pytest

from tests.e2e.policies import has_mutating_policies, injecting, policy
from tests.e2e.processes import processes_of
from tests.e2e.release import until
from tests.support.programs import CASES

IMAGE = "localhost/taskpost-program:latest"
GRACE_SECONDS = 3
SMALL = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
SMALL_RUNNER = {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}}
PROGRAM = {"image": IMAGE, "command": ["/program"], "input_schema": {"type": "object"}, "pod": {"resources": SMALL}}


@pytest.fixture(scope="module")
def values():
    return {
        "settings": {"concurrency": 8, "grace_seconds": GRACE_SECONDS},
        # Other releases need the node too.
        "taskPods": {"env": [{"name": "OF_ALL_PODS", "value": "not for programs"}], "sidecarResources": SMALL_RUNNER},
        "taskTypes": {
            "program": PROGRAM | {"env": {"LANGUAGE": "en"}},
            "again": PROGRAM | {"retries": 1, "retry_on": ["task_error"], "retry_pause_seconds": 0},
            "meshed": PROGRAM,
            "no_command": PROGRAM | {"command": ["/no-such-program"]},
        },
    }


@pytest.fixture(scope="module")
def submitted(release, receiver):
    """The ids of the tasks of all cases, by their names."""
    return {name: release.submit("program", case.task_input, receiver.url) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_comes_of_what_a_program_does(release, receiver, submitted, name):
    case, task_id = CASES[name], submitted[name]
    outcome = receiver.of(task_id, 240)
    if case.code:
        assert (outcome["status"], outcome["error"]["code"]) == ("failed", case.code)
        assert case.words in outcome["error"]["message"]
        assert "TASKPOST" not in outcome["error"]["message"]
    else:
        assert outcome["status"] == "done", outcome["error"]
        assert outcome["result"] == case.result
    assert outcome["attempt"] == 1
    assert outcome["started_at"] is not None
    task = release.task(task_id)
    if case.percent is not None:
        assert task["task_percent_done"] == case.percent
    if case.message is not None:
        assert task["progress_message"] == case.message


def done(release, receiver, do, task_type="program", **more):
    outcome = receiver.of(release.submit(task_type, {"do": do}, receiver.url, **more), 120)
    assert outcome["status"] == "done", outcome["error"]
    return outcome["result"]


def test_progress_is_seen_while_it_runs_and_the_task_runs_when_its_program_does(release, receiver):
    task_id = release.submit("program", {"do": [["write", "progress", "12.5 of all"], ["sleep", 600]]}, receiver.url)
    seen = release.when(task_id, lambda task: task["task_percent_done"] == 12.5)
    assert seen["progress_message"] == "of all"
    seen = release.running(task_id)
    (status,) = release.pod_of(task_id)["status"]["containerStatuses"]
    assert seen["started_at"][:19] >= status["state"]["running"]["startedAt"][:19]
    release.call("DELETE", f"/api/tasks/{task_id}")
    assert receiver.of(task_id)["status"] == "cancelled"
    until(lambda: not release.job_and_pods_of(task_id), 30, "nothing to be left")


def test_the_program_has_nothing_of_ours(release, receiver):
    do = [["environment"], ["user"], ["look", "/run/secrets/*/*"], ["look", "/run/secrets/*/*/*"]]
    do += [["look", "/var/run/secrets/*/*/*"], ["look", "/proc/[0-9]*/environ"], ["look", "/proc/[0-9]*/cmdline"]]
    do += [["report"]]
    found = done(release, receiver, do)
    redis = urlsplit(release.secret(f"{release.prefix}-runner", "redis-url"))
    for secret in (redis.password, release.signing_key(), "not for programs", "redis://"):
        assert secret not in json.dumps(found)
    own = dict(line.split("=", 1) for line in found if "=" in line and not line.startswith("/"))
    assert {name for name in own if name.startswith("TASKPOST_")} == {
        "TASKPOST_TASK_ID",
        "TASKPOST_ATTEMPT",
        "TASKPOST_DIRECTORY",
    }
    assert not {name for name in own if "REDIS" in name or "VALKEY" in name}
    assert own["LANGUAGE"] == "en"
    assert "65532" in found, "an image that says nothing of its user"
    seen = [line.replace("\0", " ").strip() for line in found if line.startswith("/")]
    assert [line for line in seen if "/cmdline: " in line] == ["/proc/1/cmdline: /program"]
    assert [line.partition(":")[0] for line in seen] == ["/proc/1/environ", "/proc/1/cmdline"]


def test_neither_redis_nor_the_api_server_does_anything_for_it(release, receiver):
    other = release.submit("program", {"do": [["sleep", 600]], "secret": "of another task"}, receiver.url)
    release.running(other)
    redis = release.get("service", f"{release.prefix}-valkey")["spec"]["clusterIP"]
    api = "kubernetes.default.svc.cluster.local"
    words = f"HGETALL {{taskpost:{release.prefix}}}:task:{other}\r\n"
    path = f"/api/v1/namespaces/{release.namespace}/secrets"
    do = [
        ["call", redis, 6379, words],
        ["call", redis, 6379, "AUTH default default\r\n"],
        ["call_tls", api, 443, f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n"],
        ["look", "/taskpost/*"],
        ["report"],
    ]
    found = done(release, receiver, do)
    assert "NOAUTH" in found[0] or "NOPERM" in found[0]
    refused = [line for line in found if "403 Forbidden" in line or "401 Unauthorized" in line]
    assert len(refused) == 1, found
    assert "of another task" not in json.dumps(found)
    release.call("DELETE", f"/api/tasks/{other}")


def test_one_that_does_not_heed_sigterm_is_killed_after_the_grace_of_the_settings(release, receiver):
    do = [["ignore_sigterm"], ["write", "progress", "1"], ["sleep", 600]]
    task_id = release.submit("program", {"do": do}, receiver.url, timeout_seconds=3)
    assert receiver.of(task_id)["error"]["code"] == "timed_out"
    until(lambda: not release.job_and_pods_of(task_id), GRACE_SECONDS + 30, "nothing to be left")


def test_one_that_uses_too_much_memory_says_so(release, receiver):
    task_id = release.submit("program", {"do": [["allocate", 500]]}, receiver.url)
    assert receiver.of(task_id)["error"]["code"] == "out_of_memory"


def test_a_termination_message_is_told(release, receiver):
    task_id = release.submit("program", {"do": [["terminate", "no such colour"], ["exit", 7]]}, receiver.url)
    error = receiver.of(task_id)["error"]
    assert error["message"] == "The program ended with exit code 7. Its last output: no such colour"


def test_one_that_cannot_be_started_says_so(release, receiver):
    error = receiver.of(release.submit("no_command", {}, receiver.url))["error"]
    assert error["code"] == "cannot_start"
    assert "The program could not be started" in error["message"]
    assert "/no-such-program" in error["message"]


def test_a_failure_is_tried_again_if_the_type_says_so(release, receiver):
    task_id = release.submit("again", {"do": [["exit", 3]]}, receiver.url)
    outcome = receiver.of(task_id)
    assert (outcome["error"]["code"], outcome["attempt"]) == ("task_error", 2)
    assert [past["reason"]["code"] for past in release.task(task_id)["attempts"]] == ["task_error"]


def test_a_pod_that_is_deleted_is_a_lost_attempt_even_if_its_program_ends_well(release, receiver):
    task_id = release.submit("program", {"do": [["write", "result.json", "1"], ["sleep", 8]]}, receiver.url)
    release.running(task_id)
    release.kubectl("delete", "pod", "-l", f"taskpost.dev/task-id={task_id}", "--wait=false")
    outcome = receiver.of(task_id)
    assert (outcome["status"], outcome["attempt"], outcome["result"]) == ("done", 2, 1)


def test_one_that_is_suspended_while_it_runs_starts_again(release, receiver):
    task_id = release.submit("program", {"do": [["sleep", 5], ["write", "result.json", "1"]]}, receiver.url)
    release.running(task_id)
    release.suspend(task_id, suspended=True)
    release.waits_for(task_id, "suspended")
    release.when(task_id, lambda task: task["task_status"] == "starting")
    release.suspend(task_id, suspended=False)
    outcome = receiver.of(task_id)
    assert (outcome["status"], outcome["attempt"], outcome["result"]) == ("done", 1, 1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_that_is_killed_half_way_goes_on(release, receiver, number):
    if not release.on_our_node():
        pytest.skip("processes of this cluster cannot be killed from here")
    do = [["write", "progress", "20"], ["sleep", 15], ["write", "progress", "80"], ["sleep", 4], ["exit", 0]]
    do.insert(2, ["write", "result.json", "[1]"])
    task_id = release.submit("program", {"do": do}, receiver.url)
    release.when(task_id, lambda task: task["task_percent_done"] == 20)
    (runner,) = [
        one
        for one in processes_of([release.pod_of(task_id)])
        if "sidecar" in one.cmdline() and "dumb-init" not in one.cmdline()
    ]
    runner.send_signal(number)
    release.when(task_id, lambda task: task["task_percent_done"] == 80)
    outcome = receiver.of(task_id)
    assert (outcome["status"], outcome["attempt"], outcome["result"]) == ("done", 1, [1])


def test_a_container_that_somebody_adds_does_not_keep_the_result(release, receiver):
    if not has_mutating_policies():
        pytest.skip("this cluster has no MutatingAdmissionPolicy")
    with policy(injecting(release.namespace, "meshed", "localhost/taskpost-runner:latest")):
        task_id = release.submit("meshed", {"do": [["write", "result.json", "[1]"]]}, receiver.url)
        outcome = receiver.of(task_id)
        assert (outcome["status"], outcome["attempt"], outcome["result"]) == ("done", 1, [1])
        until(lambda: not release.job_and_pods_of(task_id), 60, "nothing to be left")
