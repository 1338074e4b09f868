"""What is seen in the cluster, and what it means: by objects recorded on a real node, `recorded/*.json`."""

from __future__ import annotations

import copy
import json
from datetime import datetime
from pathlib import Path

import pytest

from api.core.decisions import Fail, Limits, Requeue, Stop, Suspend, Wait
from api.core.observation import AttemptId, Cause, Observation, Obstacle, Phase, StopReason
from api.core.settle import settle
from api.core.task import task_from_record
from api.executors.kubernetes.attempts import VANISHED_SECONDS, Attempts
from api.executors.kubernetes.observe import observe

RECORDED = Path(__file__).with_name("recorded")
NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))
NOW_SECONDS = 1_000_000_000.0
NOW_MS = 1_000_000
LIMITS = Limits(max_attempts=3, start_deadline_seconds=600, suspended_deadline_seconds=3600)


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text())


def seen_of(name, *, pods=True):
    objects = recorded(name)
    attempts = Attempts()
    for kind in ("jobs", "pods") if pods else ("jobs",):
        for raw in objects[kind]:
            attempts.take(kind, "ADDED", raw)
    for event in objects["events"]:
        attempts.take_event(event)
    (seen,) = attempts
    return seen


def look(name, *, pods=True):
    return observe(seen_of(name, pods=pods), NOW_SECONDS)


def task_of(observation, state="running"):
    record = {"type": "sleep", "state": state, "priority": "0", "created": "0", "timeout": "60000"}
    record |= {"attempt": str(observation.attempt_id.attempt), "claimed": str(NOW_MS - 10), "started": str(NOW_MS - 5)}
    return task_from_record(observation.attempt_id.task_id, record, None, None)


def decide(observation, state="running"):
    return settle(task_of(observation, state), observation, NOW_MS, LIMITS)


ENDS = [
    # recorded as, exit code, cause, words of the cluster
    ("done", 0, None, ""),
    ("exit_code", 7, None, ""),
    ("out_of_memory", 137, Cause.OUT_OF_MEMORY, "OOMKilled, exit code 137"),
    ("child_out_of_memory", 0, Cause.OUT_OF_MEMORY, "OOMKilled, exit code 0"),
    ("out_of_storage", 137, Cause.OUT_OF_STORAGE, "Pod ephemeral local storage usage exceeds the total limit"),
    ("no_such_command", 128, Cause.UNSTARTABLE, "StartError: failed to create containerd task"),
    ("pod_deleted", 143, Cause.DELETED, ""),
    ("pod_deleted_exit_0", 0, Cause.DELETED, ""),
    ("drained", 143, Cause.DISRUPTED, "Eviction API: evicting"),
    ("job_deadline", 143, Cause.OVERDUE, ""),
    ("refused", None, Cause.REFUSED, "OutOfcpu"),
]


@pytest.mark.parametrize(("name", "exit_code", "cause", "words"), ENDS)
def test_how_a_pod_ended(name, exit_code, cause, words):
    observation = look(name)
    assert (observation.phase, observation.exit_code, observation.cause) == (Phase.ENDED, exit_code, cause)
    assert words in observation.detail
    assert observation.waiting is None


@pytest.mark.parametrize(
    ("name", "obstacle", "words", "hopeless"),
    [
        ("image_pull_backoff", Obstacle.IMAGE, 'ImagePullBackOff: Back-off pulling image "localhost/no-such', False),
        ("invalid_image_name", Obstacle.IMAGE, "InvalidImageName: Failed to apply default image tag", True),
        ("missing_secret", Obstacle.CONTAINER, 'CreateContainerConfigError: secret "nope" not found', False),
        ("unschedulable", Obstacle.UNSCHEDULABLE, "Unschedulable: 0/1 nodes are available", False),
        ("quota", Obstacle.QUOTA, "is forbidden: exceeded quota: cpus, requested: requests.cpu=900", False),
    ],
)
def test_why_a_pod_has_not_begun(name, obstacle, words, hopeless):
    observation = look(name)
    assert (observation.phase, observation.exit_code, observation.cause) == (Phase.ALIVE, None, None)
    assert observation.waiting.code == obstacle
    assert words in observation.waiting.message
    assert observation.hopeless is hopeless
    seconds = 10 if obstacle is Obstacle.QUOTA else 600
    wanted = Stop(StopReason.HOPELESS) if hopeless else Wait(NOW_MS - 10 + seconds * 1000)
    assert decide(observation, "starting") == wanted


def test_one_that_runs():
    seen = seen_of("running")
    uid = seen.pod.raw["metadata"]["uid"]
    assert observe(seen, NOW_SECONDS) == Observation(seen.attempt_id, Phase.ALIVE, holder=uid)


def test_one_that_is_suspended_while_it_runs():
    observation = look("suspended_while_running")
    assert (observation.phase, observation.cause) == (Phase.ALIVE, Cause.SUSPENDED)
    assert observation.waiting.code == Obstacle.SUSPENDED
    assert decide(observation) == Suspend(observation.waiting, released=False)


def test_a_node_that_does_not_answer_has_a_minute_while_the_api_server_does():
    seen = seen_of("running")
    asked_seconds = 1000.0  # of our own clock, whatever that of the cluster says
    seen.pod.asked_seconds = datetime.fromisoformat("2026-11-25T08:41:58Z").timestamp()
    seen.pod.stamp(asked_seconds)
    back_seconds = asked_seconds + 55  # the API server was away: no node could tell it anything

    def phase(now_seconds, answering_since_seconds):
        return observe(seen, now_seconds, answering_since_seconds).phase

    assert phase(asked_seconds + 60, 0) is Phase.ALIVE
    assert phase(asked_seconds + 61, 0) is Phase.GONE
    assert phase(asked_seconds + 61, None) is Phase.ALIVE
    assert phase(back_seconds + 60, back_seconds) is Phase.ALIVE
    assert phase(back_seconds + 61, back_seconds) is Phase.GONE


def test_a_job_that_gets_no_pod_says_so_after_a_moment():
    seen = seen_of("running", pods=False)
    made = 1000.0
    seen.job.stamp(made)
    assert observe(seen, made + 2.9).waiting is None
    assert observe(seen, made + 3).waiting.code == Obstacle.NO_POD
    seen.warnings["FailedCreate"] = 'pods "x" is forbidden: exceeded quota: tight'
    assert observe(seen, made + 3).waiting.code == Obstacle.QUOTA


@pytest.mark.parametrize("counted", ["failed", "succeeded"])
def test_a_job_whose_pod_has_come_and_gone_is_over_even_if_no_condition_says_so(counted):
    seen = seen_of("running", pods=False)
    assert observe(seen, NOW_SECONDS).phase is Phase.ALIVE
    seen.job.raw["status"][counted] = 1  # as the Job controller left six Jobs after an outage of the API server
    observation = observe(seen, NOW_SECONDS)
    assert observation == Observation(seen.attempt_id, Phase.GONE)
    assert isinstance(decide(observation), Requeue)


def test_one_that_goes_on_after_it_was_suspended_is_not_judged_by_its_old_pod():
    objects, attempts = recorded("resumed"), Attempts()
    suspended, released, resumed = objects["jobs"]
    old, new = objects["pods"]
    attempts.take("jobs", "MODIFIED", suspended)
    attempts.take("pods", "MODIFIED", old)
    attempts.take("pods", "DELETED", old)
    (seen,) = attempts
    assert observe(seen, NOW_SECONDS).cause is Cause.SUSPENDED
    attempts.take("jobs", "MODIFIED", released)
    assert observe(seen, NOW_SECONDS).cause is Cause.SUSPENDED, "nobody has begun it yet"
    attempts.take("jobs", "MODIFIED", resumed)
    assert observe(seen, NOW_SECONDS) == Observation(seen.attempt_id, Phase.ALIVE)
    attempts.take("pods", "ADDED", new)
    uid = new["metadata"]["uid"]
    assert observe(seen, NOW_SECONDS) == Observation(seen.attempt_id, Phase.ALIVE, holder=uid)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("done", "crashed", "exit code 0 and recorded no outcome"),
        ("exit_code", "crashed", "exit code 7 and recorded no outcome. Its last output: begun"),
        ("out_of_memory", "out_of_memory", "OOMKilled"),
        ("child_out_of_memory", "out_of_memory", "OOMKilled"),
        ("out_of_storage", "out_of_storage", "Pod ephemeral local storage usage exceeds"),
        ("no_such_command", "cannot_start", "no such file or directory"),
        ("job_deadline", "timed_out", "ran longer than its 60 seconds"),
    ],
)
def test_what_fails_a_task(name, code, words):
    decision = decide(look(name))
    assert isinstance(decision, Fail)
    assert decision.reason.code == code
    assert words in decision.reason.message


@pytest.mark.parametrize(
    ("name", "rest"), [("pod_deleted", False), ("pod_deleted_exit_0", False), ("drained", False), ("refused", True)]
)
def test_what_is_tried_again(name, rest):
    decision = decide(look(name))
    assert isinstance(decision, Requeue)
    assert (decision.counts_as_loss, decision.rest) == (True, rest)


@pytest.mark.parametrize(
    ("name", "phase", "exit_code", "cause"),
    [
        ("exit_code", Phase.ENDED, 7, None),
        ("out_of_memory", Phase.ENDED, 137, None),
        ("drained", Phase.GONE, None, Cause.DISRUPTED),
        ("job_deadline", Phase.GONE, None, Cause.OVERDUE),
        ("done", Phase.GONE, None, None),
        ("pod_deleted_exit_0", Phase.GONE, None, None),
        ("running", Phase.ALIVE, None, None),
        ("suspended_while_running", Phase.ALIVE, None, Cause.SUSPENDED),
    ],
)
def test_a_job_alone_says_what_it_knows_of_its_pod(name, phase, exit_code, cause):
    observation = look(name, pods=False)
    assert (observation.phase, observation.exit_code, observation.cause) == (phase, exit_code, cause)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_seen_after_we_asked_for_the_end_our_reason_is_known(name):
    seen = seen_of(name)
    seen.stop_asked = StopReason.CANCELLED
    observation = observe(seen, NOW_SECONDS)
    assert observation.stop_asked is StopReason.CANCELLED
    assert observation.cause not in {Cause.DELETED, Cause.JOB_DELETED, Cause.REFUSED}


@pytest.mark.parametrize(("owner_gone", "cause"), [(False, Cause.JOB_DELETED), (True, Cause.OWNER_DELETED)])
@pytest.mark.parametrize("name", ["pod_deleted", "pod_deleted_exit_0"])
def test_a_job_that_was_deleted_while_its_pod_ran(name, owner_gone, cause):
    seen = seen_of(name)
    seen.job.deleted = True
    seen.owner_gone = owner_gone
    assert observe(seen, NOW_SECONDS).cause is cause


def test_a_deletion_that_the_kubelet_has_made_final_was_asked_for_earlier():
    objects, attempts = recorded("pod_deleted"), Attempts()
    (job,), (pod,) = objects["jobs"], objects["pods"]
    final = json.loads(json.dumps(pod))
    final["metadata"] |= {
        "deletionTimestamp": "2099-01-01T00:00:00Z",  # later than its container's end
        "deletionGracePeriodSeconds": 0,
        "resourceVersion": str(int(pod["metadata"]["resourceVersion"]) + 1),
    }
    attempts.take("jobs", "ADDED", job)
    attempts.take("pods", "MODIFIED", pod)
    attempts.take("pods", "DELETED", final)
    (seen,) = attempts
    assert observe(seen, NOW_SECONDS).cause is Cause.DELETED
    attempts.take("jobs", "DELETED", job)
    assert observe(seen, NOW_SECONDS).cause is Cause.JOB_DELETED


def test_a_pod_that_vanishes_and_one_whose_node_does_not_answer():
    seen = seen_of("running")
    seen.pod.deleted = True
    observation = observe(seen, NOW_SECONDS)
    assert (observation.phase, observation.cause) == (Phase.GONE, Cause.DELETED)
    seen.stop_asked = StopReason.DEADLINE
    assert observe(seen, NOW_SECONDS).cause is None
    seen = seen_of("running")
    asked = 1000.0
    seen.pod.asked_seconds = 1_795_579_200.0
    seen.pod.stamp(asked)
    assert observe(seen, asked + 60).phase is Phase.ALIVE
    assert observe(seen, asked + 61).phase is Phase.GONE
    condition = {"type": "DisruptionTarget", "status": "True", "message": "Taint manager: deleting"}
    seen.pod.raw["status"]["conditions"].append(condition)
    observation = observe(seen, asked + 61)
    assert (observation.cause, observation.detail) == (Cause.DISRUPTED, "Taint manager: deleting")


def test_a_container_whose_end_the_node_did_not_see_is_lost():
    seen = seen_of("exit_code")
    terminated = seen.pod.raw["status"]["containerStatuses"][0]["state"]["terminated"]
    for reason, exit_code in (("ContainerStatusUnknown", 137), ("Unknown", 255)):
        terminated |= {"reason": reason, "exitCode": exit_code, "message": ""}
        observation = observe(seen, NOW_SECONDS)
        assert (observation.cause, observation.detail) == (
            Cause.DISRUPTED,
            f"{reason}: the node did not see its end",
        )


def test_a_container_that_ends_beside_one_that_does_not_is_alive_with_its_exit_code():
    seen = seen_of("exit_code")
    seen.pod.raw["status"]["phase"] = "Running"
    observation = observe(seen, NOW_SECONDS)
    assert (observation.phase, observation.exit_code) == (Phase.ALIVE, 7)


def test_a_volume_that_is_not_there_is_told_by_a_warning():
    seen = seen_of("image_pull_backoff")
    seen.pod.raw["status"]["containerStatuses"][0]["state"]["waiting"] = {"reason": "ContainerCreating"}
    assert observe(seen, NOW_SECONDS).waiting is None
    seen.warnings["FailedMount"] = 'secret "taskpost-runner" not found'
    waiting = observe(seen, NOW_SECONDS).waiting
    assert (waiting.code, waiting.message) == ("container", 'FailedMount: secret "taskpost-runner" not found')


def test_a_pod_that_policy_refuses_is_no_matter_of_quota():
    seen = seen_of("quota")
    seen.warnings["FailedCreate"] = 'Error creating: pods "x" is forbidden: violates PodSecurity "restricted"'
    assert observe(seen, NOW_SECONDS).waiting.code == Obstacle.POD_REFUSED
    seen.warnings.clear()
    assert observe(seen, NOW_SECONDS).waiting is None


def test_of_two_views_the_newer_counts():
    (job,) = recorded("running")["jobs"]
    older = json.loads(json.dumps(job))
    older["metadata"]["resourceVersion"] = str(int(job["metadata"]["resourceVersion"]) - 1)
    attempts = Attempts()
    assert attempts.take("jobs", "ADDED", job) == AttemptId(job["metadata"]["labels"]["taskpost.dev/task-id"], 1)
    assert attempts.take("jobs", "MODIFIED", older) is None
    before = {"metadata": {"resourceVersion": older["metadata"]["resourceVersion"]}, "items": []}
    assert attempts.take_list("jobs", before) == set()
    after = {"metadata": {"resourceVersion": str(int(job["metadata"]["resourceVersion"]) + 1)}, "items": []}
    (seen,) = attempts
    assert attempts.take_list("jobs", after) == {seen.attempt_id}
    assert observe(seen, NOW_SECONDS).cause is Cause.JOB_DELETED


def test_what_vanished_long_ago_is_dropped():
    attempts = Attempts()
    (job,) = recorded("running")["jobs"]
    attempts.take("jobs", "ADDED", job)
    attempts.drop_vanished(0)
    assert attempts.take("jobs", "DELETED", job) is not None
    attempts.drop_vanished(0)
    attempts.drop_vanished(VANISHED_SECONDS)
    assert len(tuple(attempts)) == 1
    attempts.drop_vanished(VANISHED_SECONDS + 1)
    assert not tuple(attempts)


def test_what_is_none_of_ours_is_passed_over():
    attempts = Attempts()
    assert attempts.take("pods", "ADDED", {"metadata": {"name": "x"}}) is None
    assert attempts.take_event({"involvedObject": {"kind": "Pod", "name": "tp-x-1-abcde"}}) is None
    assert attempts.take_event({"involvedObject": {"kind": "Node", "name": "node"}}) is None


def workload_event(seen, reason, message, version):
    about = {"kind": "Workload", "name": f"job-tp-{seen.attempt_id}-1a2b3"}
    return {
        "involvedObject": about,
        "reason": reason,
        "message": message,
        "metadata": {"resourceVersion": str(version)},
    }


def test_a_suspended_job_says_what_kueue_says_of_its_workload():
    attempts, objects = Attempts(), recorded("suspended_while_running")
    for kind in ("jobs", "pods"):
        for raw in objects[kind]:
            attempts.take(kind, "ADDED", raw)
    (seen,) = attempts

    def told(*events):
        for event in events:
            attempts.take_event(workload_event(seen, *event))
        return observe(seen, NOW_SECONDS).waiting.message

    assert "by Kueue or by hand" in told()
    assert told(("Pending", "no quota", 5)) == "Suspended by Kueue: Pending: no quota"
    assert told(("Pending", "older news", 4)) == "Suspended by Kueue: Pending: no quota"
    assert "by Kueue or by hand" in told(("QuotaReserved", "reserved", 6), ("Admitted", "admitted", 7))
    told(("Preempted", "for another", 8), ("EvictedDueToPreempted", "for another one", 9))
    assert told(("Pending", "no quota", 10)) == (
        "Suspended by Kueue: EvictedDueToPreempted: for another one; Pending: no quota"
    )


def test_warnings_of_an_attempt_are_bounded():
    attempts = Attempts()
    for raw in recorded("running")["jobs"]:
        attempts.take("jobs", "ADDED", raw)
    (seen,) = attempts
    about = {"kind": "Job", "name": f"tp-{seen.attempt_id}"}
    for number in range(100):
        attempts.take_event({"involvedObject": about, "reason": f"Reason{number}", "message": "x" * 100_000})
    assert len(seen.warnings) == 20
    assert max(map(len, seen.warnings.values())) == 2000


def test_a_released_job_whose_earlier_pod_still_ends_says_so():
    objects, attempts = recorded("resumed"), Attempts()
    _, _, resumed = objects["jobs"]
    old, _ = objects["pods"]
    attempts.take("jobs", "MODIFIED", resumed)
    running = copy.deepcopy(old)
    running["status"]["phase"] = "Running"
    running["metadata"] |= {"deletionTimestamp": "2026-11-25T04:00:30Z", "deletionGracePeriodSeconds": 30}
    attempts.take("pods", "MODIFIED", running)
    (seen,) = attempts
    for kept in seen.objects():
        kept.stamp(1000.0)
    observation = observe(seen, 1001.0)
    assert (observation.phase, observation.waiting.code) == (Phase.ALIVE, Obstacle.TERMINATING)
    assert old["metadata"]["name"] in observation.waiting.message
    assert observe(seen, 1091.0).waiting.code == Obstacle.NO_POD, "its node does not answer"
