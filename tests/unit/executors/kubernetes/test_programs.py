"""The pods of container types: how they are built, and what is seen of them, by objects recorded on a real node."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from api.core.observation import AttemptId, Cause, Observation, Phase, Program, StopReason
from api.executors.base import AttemptSpec
from api.executors.kubernetes import KubernetesExecutor
from api.executors.kubernetes.job import build_job
from api.executors.kubernetes.observe import observe
from api.executors.kubernetes.pods import PodFile
from tests.support.definitions import definition
from tests.unit.executors.kubernetes.test_executor import ScriptedCluster
from tests.unit.executors.kubernetes.test_job import SETTINGS, SPEC
from tests.unit.executors.kubernetes.test_observe import NOW_SECONDS, look, seen_of

THUMBNAIL = definition(
    "thumbnail",
    image="imagetool:7",
    command=("convert", "$(WIDTH)", "/taskpost/input.json"),
    env={"WIDTH": "64"},
    pod={
        "env": [{"name": "COLOUR", "value": "blue"}],
        "volumes": [{"name": "fonts", "emptyDir": {}}],
        "volume_mounts": [{"name": "fonts", "mountPath": "/fonts"}],
        "resources": {"limits": {"memory": "2Gi"}},
    },
)
DEFAULT = {
    "command": ["python", "-m", "runner"],
    "env": [{"name": "PASSWORD", "value": "not for programs"}],
    "volumes": [{"name": "certificates", "secret": {"secretName": "certificates"}}],
    "volume_mounts": [{"name": "certificates", "mountPath": "/certificates"}],
    "node_selector": {"pool": "large"},
}
CONTAINER = AttemptSpec(SPEC.attempt_id, "thumbnail", SPEC.environment, 60, THUMBNAIL)


def pod_of(default=None, of_type=THUMBNAIL):
    pods = PodFile(default=DEFAULT if default is None else default).of_type(of_type, "taskpost-runner")
    spec = AttemptSpec(SPEC.attempt_id, "thumbnail", SPEC.environment, 60, of_type)
    return build_job(spec, SETTINGS, pods)["spec"]["template"]["spec"]


def mounts(container):
    return {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_program_is_as_it_was_and_has_nothing_of_ours():
    (program,) = pod_of()["containers"]
    assert (program["name"], program["image"]) == ("task", "imagetool:7")
    assert program["command"] == ["convert", "$$(WIDTH)", "/taskpost/input.json"], "and nothing is put in its place"
    assert program["env"] == [
        {"name": "TASKPOST_ATTEMPT", "value": "2"},
        {"name": "TASKPOST_DIRECTORY", "value": "/taskpost"},
        {"name": "TASKPOST_TASK_ID", "value": SPEC.attempt_id.task_id},
        {"name": "WIDTH", "value": "64"},
        {"name": "COLOUR", "value": "blue"},
    ]
    assert mounts(program) == {"tmp": "/tmp", "taskpost-directory": "/taskpost", "fonts": "/fonts"}
    assert program["resources"]["limits"]["memory"] == "2Gi"
    assert program["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_runner_is_beside_it_with_all_that_runners_have():
    pod = pod_of()
    (runner,) = pod["initContainers"]
    assert (runner["name"], runner["image"], runner["args"]) == ("runner", "taskpost-runner", ["sidecar"])
    assert runner["command"] == DEFAULT["command"]
    assert runner["restartPolicy"] == "Always"
    assert runner["startupProbe"]["tcpSocket"] == {"port": 20727}
    assert {"name": "PASSWORD", "value": "not for programs"} in runner["env"]
    assert {one["name"] for one in runner["env"]} >= {"TASKPOST_TOKEN", "TASKPOST_REDIS_URL_FILE", "TASKPOST_HOLDER"}
    assert mounts(runner) == {
        "taskpost-tmp": "/tmp",
        "taskpost": "/run/secrets/taskpost",
        "taskpost-directory": "/taskpost",
        "certificates": "/certificates",
    }
    assert runner["resources"]["limits"] == {"memory": "512Mi"}
    assert runner["securityContext"]["readOnlyRootFilesystem"] is True


def test_they_share_no_volume_but_the_directory():
    pod = pod_of()
    program, runner = mounts(pod["containers"][0]), mounts(pod["initContainers"][0])
    assert program.keys() & runner.keys() == {"taskpost-directory"}


def test_they_share_a_directory_a_user_and_a_long_grace():
    pod = pod_of()
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["terminationGracePeriodSeconds"] == 120
    assert [volume["name"] for volume in pod["volumes"]] == [
        "tmp",
        "taskpost",
        "taskpost-directory",
        "taskpost-tmp",
        "certificates",
        "fonts",
    ]
    assert pod["nodeSelector"] == {"pool": "large"}
    assert not pod["automountServiceAccountToken"]


@pytest.mark.parametrize(
    ("default", "of_type", "user"),
    [
        ({"run_as_user": 7}, {}, 7),
        ({"run_as_user": 7}, {"run_as_user": 8}, 8),
        ({"container_run_as_user": None}, {}, None),
        ({"container_run_as_user": None}, {"run_as_user": 8}, 8),
    ],
)
def test_their_user_is_the_type_s_or_that_of_all_or_the_cluster_s(default, of_type, user):
    pod = pod_of(default, definition("x", image="y", command=("z",), pod=of_type))
    assert pod["securityContext"].get("runAsUser") == user


def test_their_job_says_what_they_are_and_has_their_grace():
    job = build_job(CONTAINER, SETTINGS, PodFile().of_type(THUMBNAIL, "runner"))
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert metadata["labels"]["taskpost.dev/kind"] == "container"
    assert job["spec"]["activeDeadlineSeconds"] == 600 + 60 + 120 + 120


PROGRAMS = [
    # recorded as, phase, program, exit code, cause, kept up
    ("program_waiting", Phase.ALIVE, Program.WAITING, None, None, False),
    ("program_running", Phase.ALIVE, Program.RUNNING, None, None, False),
    ("program_handing_over", Phase.ALIVE, Program.ENDED, 0, None, False),
    ("program_kept_up", Phase.ALIVE, Program.ENDED, 0, None, True),
    ("program_done", Phase.ENDED, Program.ENDED, 0, None, False),
    ("program_failed", Phase.ENDED, Program.ENDED, 3, None, False),
    ("program_out_of_memory", Phase.ENDED, Program.ENDED, 137, Cause.OUT_OF_MEMORY, False),
]


@pytest.mark.parametrize(("name", "phase", "program", "exit_code", "cause", "kept_up"), PROGRAMS)
def test_how_far_a_program_is(name, phase, program, exit_code, cause, kept_up):
    seen = look(name)
    assert (seen.phase, seen.program, seen.exit_code, seen.cause, seen.kept_up) == (
        phase,
        program,
        exit_code,
        cause,
        kept_up,
    )


def test_what_a_program_wrote_last_is_told():
    assert look("program_failed").log_tail == "no such picture"


def test_a_program_that_could_not_be_started_has_not_begun():
    seen = seen_of("program_done")
    state = seen.pod.raw["status"]["containerStatuses"][0]["state"]
    state["terminated"] |= {"reason": "StartError", "exitCode": 128, "message": "no such file"}
    observation = observe(seen, NOW_SECONDS)
    assert (observation.program, observation.cause) == (Program.WAITING, Cause.UNSTARTABLE)


def test_a_runner_that_could_not_hand_over_says_why():
    seen = seen_of("program_done")
    end = seen.pod.raw["status"]["initContainerStatuses"][0]["state"]["terminated"]
    assert observe(seen, NOW_SECONDS).detail == ""
    end |= {"exitCode": 4, "message": "Redis does not answer"}
    assert observe(seen, NOW_SECONDS).detail == "Redis does not answer"
    end["message"] = ""
    assert observe(seen, NOW_SECONDS).detail == "it ended with exit code 4"


def test_a_runner_that_ended_before_its_program_has_not_its_result():
    seen = seen_of("program_done")
    (runner,) = seen.pod.raw["status"]["initContainerStatuses"]
    (program,) = seen.pod.raw["status"]["containerStatuses"]
    assert observe(seen, NOW_SECONDS).cause is None
    program["state"]["terminated"]["finishedAt"] = "2099-01-01T00:00:01Z"
    runner["state"]["terminated"]["finishedAt"] = "2099-01-01T00:00:00Z"
    assert observe(seen, NOW_SECONDS).cause is Cause.UNWATCHED
    runner["lastState"], runner["state"] = runner["state"], {"waiting": {"reason": "CrashLoopBackOff"}}
    assert observe(seen, NOW_SECONDS).cause is Cause.UNWATCHED
    program["state"]["terminated"]["exitCode"] = 3
    assert observe(seen, NOW_SECONDS).cause is None, "that it failed is plain all the same"
    program["state"]["terminated"]["exitCode"] = 0
    runner["state"] = {"running": {}}
    assert observe(seen, NOW_SECONDS).cause is None, "it is up again, and was so at the end"


def test_a_runner_that_is_started_again_and_again_says_why():
    seen = seen_of("program_waiting")
    (runner,) = seen.pod.raw["status"]["initContainerStatuses"]
    runner["lastState"] = {"terminated": {"exitCode": 4, "message": "Redis does not answer\n"}}
    runner["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert observe(seen, NOW_SECONDS).waiting.message == "CrashLoopBackOff: back-off 10s: Redis does not answer"


def test_a_job_alone_tells_that_its_task_is_a_program():
    assert look("program_running", pods=False).program is Program.WAITING
    assert look("running", pods=False).program is None


@pytest.fixture
def cluster():
    return ScriptedCluster()


@pytest.fixture
async def executor(cluster):
    made = KubernetesExecutor(cluster, SETTINGS, lambda of_type: PodFile().of_type(of_type, "runner"))
    await made.open()
    yield made
    await made.close()


SHORT = AttemptSpec(AttemptId("task", 1), "thumbnail", {"TASKPOST_TOKEN": "token"}, 60, THUMBNAIL)
RUNS = [{"name": "task", "state": {"running": {"startedAt": "2026-11-25T08:41:58Z"}}}]
EXITED = [{"name": "task", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-25T08:41:59Z"}}}]


async def test_it_is_told_once_that_a_program_has_begun_and_that_it_has_ended(cluster, executor):
    await executor.start(SHORT)
    async with asyncio.timeout(10), aclosing(executor.watch()) as observations:
        cluster.put_pod(containerStatuses=RUNS)
        begun = Observation(SHORT.attempt_id, Phase.ALIVE, program=Program.RUNNING, holder="uid-2")
        assert await anext(observations) == begun
        cluster.put_pod(containerStatuses=RUNS, message="news of no interest")
        cluster.put_pod(containerStatuses=EXITED)
        assert (await anext(observations)).program is Program.ENDED
        cluster.put_pod("Succeeded", containerStatuses=EXITED)
        assert (await anext(observations)).phase is Phase.ENDED


async def test_a_program_that_is_to_end_has_the_grace_of_the_settings_and_no_more(cluster, executor):
    await executor.start(SHORT)
    cluster.put_pod(containerStatuses=RUNS)
    await executor.refresh()
    await executor.stop(SHORT.attempt_id, StopReason.CANCELLED)
    deleted = [call[1:] for call in cluster.calls if call[0] == "delete"]
    assert deleted == [("jobs", "tp-task-1", None), ("pods", "tp-task-1-x", 10)]


def test_recordings_name_no_secret():
    for name, *_ in PROGRAMS:
        text = json.dumps(look(name).detail) + str(seen_of(name).pod.raw)
        assert "redis://" not in text
