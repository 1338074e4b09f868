"""The executor against an API server that answers as it is told: races and refusals that no real one makes to order."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import re
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from api.core.observation import AttemptId, Cause, Phase, StopReason
from api.executors.base import AttemptSpec, ExecutorUnavailable, StartError, StartRefused, StartUnknown
from api.executors.kubernetes import KubernetesExecutor
from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.pods import PodSettings
from api.executors.kubernetes.template import JobSettings
from runner.attempt import EnvironmentInvalid, read_attempt

SETTINGS = JobSettings("one", "secret", 600, 10)
SPEC = AttemptSpec(AttemptId("task", 1), "sleep", {"TASKPOST_TOKEN": "token"})
NAME = "tp-task-1"


class ScriptedCluster:
    """Keeps objects as an API server does; `faults` are raised by the next calls of their names."""

    def __init__(self):
        self.objects = {"jobs": {}, "pods": {}, "events": {}, "admissions": {}, "configmaps": {}}
        self.faults = {}
        self.calls = []
        self.changes = {kind: asyncio.Queue() for kind in self.objects}
        self._version = itertools.count(1)

    async def open(self):
        pass

    async def close(self):
        pass

    def _call(self, name, *about):
        self.calls.append((name, *about))
        if self.faults.get(name):
            raise self.faults[name].pop(0)

    async def list(self, kind, **query):
        self._call("list", kind)
        items = copy.deepcopy(list(self.objects[kind].values()))
        return {"metadata": {"resourceVersion": str(next(self._version))}, "items": items}

    async def get(self, kind, name):
        self._call("get", kind, name)
        if name not in self.objects[kind]:
            raise ApiError(404, "NotFound", f"{name} not found")
        return copy.deepcopy(self.objects[kind][name])

    async def create(self, kind, body, *, dry_run=False):
        self._call("create", kind)
        if dry_run:
            return copy.deepcopy(body) | {"metadata": {"namespace": "space"} | body["metadata"]}
        if body["metadata"]["name"] in self.objects[kind]:
            raise ApiError(409, "AlreadyExists", "already exists")
        return self.put(kind, body)

    async def delete(self, kind, name, uid, *, grace_seconds=None):
        self._call("delete", kind, name, grace_seconds)
        if self.objects[kind].get(name, {"metadata": {"uid": ""}})["metadata"]["uid"] != uid:
            raise ApiError(404, "NotFound", f"{name} not found")
        self.take(kind, name)

    async def watch(self, kind, version, **query):
        while True:
            change = await self.changes[kind].get()
            if isinstance(change, Exception):
                raise change
            yield copy.deepcopy(change)

    def put(self, kind, body):
        raw = copy.deepcopy(body)
        version = str(next(self._version))
        made = datetime.now(UTC).isoformat(timespec="seconds")
        raw["metadata"] = {"uid": f"uid-{version}", "creationTimestamp": made} | raw["metadata"]
        raw["metadata"]["resourceVersion"] = version
        self.objects[kind][raw["metadata"]["name"]] = raw
        self.changes[kind].put_nowait(("MODIFIED", raw))
        return copy.deepcopy(raw)

    def take(self, kind, name):
        raw = self.objects[kind].pop(name)
        raw["metadata"]["resourceVersion"] = str(next(self._version))
        self.changes[kind].put_nowait(("DELETED", raw))

    def put_pod(self, phase="Running", **status):
        labels = self.objects["jobs"][NAME]["metadata"]["labels"] if NAME in self.objects["jobs"] else LABELS
        return self.put(
            "pods", {"metadata": {"name": f"{NAME}-x", "labels": labels}, "status": {"phase": phase} | status}
        )


LABELS = {"taskpost.dev/instance": "one", "taskpost.dev/task-id": "task", "taskpost.dev/attempt": "1"}
EXITED = [{"name": "task", "state": {"terminated": {"exitCode": 3}}}]


@pytest.fixture
def cluster():
    return ScriptedCluster()


@pytest.fixture
async def executor(cluster):
    made = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"), owner_config_map=None)
    await made.open()
    yield made
    await made.close()


async def listed(executor):
    await executor.refresh()
    return await executor.list()


async def only(executor):
    (observation,) = await listed(executor)
    return observation


async def test_a_job_that_is_ours_already_is_taken_over(cluster, executor):
    await executor.start(SPEC)
    uid = cluster.objects["jobs"][NAME]["metadata"]["uid"]
    other = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"))
    await other.start(SPEC)
    assert cluster.objects["jobs"][NAME]["metadata"]["uid"] == uid
    assert (await only(other)).phase is Phase.ALIVE


async def test_a_check_asks_for_a_job_like_all_others_and_leaves_none(cluster, executor):
    assert await executor.check() == "the API server accepts a Job in the namespace space"
    assert cluster.calls == [("create", "jobs")]
    assert cluster.objects["jobs"] == {}
    assert await listed(executor) == ()


@pytest.mark.parametrize(
    "fault",
    [
        ApiError(403, "Forbidden", 'jobs.batch is forbidden: User "x" cannot create resource "jobs"'),
        ApiError(403, "Forbidden", "exceeded quota: jobs"),
        ApiError(422, "Invalid", "a policy refuses it"),
        ApiError(0, "NotConnected", "the API server does not answer: refused"),
    ],
)
async def test_a_check_says_what_the_api_server_says(cluster, executor, fault):
    cluster.faults["create"] = [fault]
    with pytest.raises(StartError, match=re.escape(fault.message)):
        await executor.check()
    assert executor.trouble is None


async def test_a_check_says_what_keeps_a_job_from_being_built(cluster):
    def unreadable():
        raise OSError("no such file")

    sealing = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"), sealing_keys=unreadable)
    with pytest.raises(StartError, match="signing keys"):
        await sealing.check()


async def test_a_job_does_not_show_its_attempt_s_token(cluster, tmp_path):
    """Who can read Jobs and pods has nothing; a runner that has the keys mounted has the token."""
    claimed = AttemptSpec(AttemptId("task", 1), "sleep", {"TASKPOST_TOKEN": "t-o-k-e-n", "TASKPOST_TASK_ID": "task"})
    sealing = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"), sealing_keys=lambda: ["new", "b"])
    await sealing.start(claimed)
    job = cluster.objects["jobs"][NAME]
    assert "t-o-k-e-n" not in json.dumps(job)
    given = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert "TASKPOST_TOKEN" not in given
    mounted = tmp_path / "signing-keys"
    mounted.write_text("a\nnew\n")
    environment = given | {
        "TASKPOST_ATTEMPT": "1",
        "TASKPOST_REDIS_URL_FILE": None,
        "TASKPOST_REDIS_URL": "redis://x",
        "TASKPOST_HOLDER": "x",
        "TASKPOST_SIGNING_KEYS_FILE": str(mounted),
    }
    assert read_attempt(environment).token == "t-o-k-e-n"
    mounted.write_text("another\n")
    with pytest.raises(EnvironmentInvalid, match="not mounted any more"):
        read_attempt(environment)
    mounted.write_text("new\n")
    with pytest.raises(EnvironmentInvalid, match="for another attempt"):
        read_attempt(environment | {"TASKPOST_ATTEMPT": "2"})
    await sealing.start(claimed)  # made again it is the same Job
    assert len(cluster.objects["jobs"]) == 1


async def test_an_attempt_whose_token_cannot_be_sealed_is_not_started(cluster):
    def unreadable():
        raise FileNotFoundError(2, "No such file", "/keys")

    sealing = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"), sealing_keys=unreadable)
    with pytest.raises(StartError, match="signing keys"):
        await sealing.start(SPEC)
    assert not cluster.objects["jobs"]


async def test_a_job_of_ours_with_another_token_is_deleted(cluster, executor):
    await executor.start(SPEC)
    other = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"))
    with pytest.raises(StartError, match="another attempt") as caught:
        await other.start(AttemptSpec(SPEC.attempt_id, "sleep", {"TASKPOST_TOKEN": "other"}))
    assert not isinstance(caught.value, (StartRefused, StartUnknown))
    assert not cluster.objects["jobs"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {}},
        {"labels": LABELS | {"taskpost.dev/instance": "two"}},
        {"labels": LABELS, "deletionTimestamp": "x"},
    ],
)
async def test_a_job_that_is_not_ours_or_is_going_is_waited_for(cluster, executor, metadata):
    cluster.put("jobs", {"metadata": {"name": NAME} | metadata})
    with pytest.raises(StartUnknown, match="not ours"):
        await executor.start(SPEC)
    assert NAME in cluster.objects["jobs"]


async def test_a_refusal_of_all_starts_is_said_until_one_is_let_in(cluster, executor):
    cluster.faults["create"] = [ApiError(403, "Forbidden", 'User "x" cannot create resource "jobs"')]
    with pytest.raises(StartError, match="cannot create"):
        await executor.start(SPEC)
    assert 'cannot create resource "jobs"' in executor.trouble
    await executor.start(SPEC)
    assert executor.trouble is None


async def test_an_api_server_that_is_away_makes_no_attempt_lost(cluster, executor):
    await executor.start(SPEC)
    for call in ("list", "delete"):
        cluster.faults[call] = [ApiError(0, "Unreachable", "no answer")]
    with pytest.raises(ExecutorUnavailable, match="no answer"):
        await executor.refresh()
    assert [seen.phase for seen in await executor.list()] == [Phase.ALIVE], "as it was seen last"
    with pytest.raises(ExecutorUnavailable, match="no answer"):
        await executor.stop(SPEC.attempt_id, StopReason.CANCELLED)
    assert (await only(executor)).stop_asked is None
    await executor.stop(SPEC.attempt_id, StopReason.CANCELLED)
    assert (await only(executor)).stop_asked is StopReason.CANCELLED


async def test_a_job_that_somebody_deletes_ends_as_such(cluster, executor):
    await executor.start(SPEC)
    cluster.put_pod()
    cluster.take("jobs", NAME)
    assert (await only(executor)).phase is Phase.ALIVE
    cluster.take("pods", f"{NAME}-x")
    observation = await only(executor)
    assert (observation.phase, observation.cause) == (Phase.GONE, Cause.JOB_DELETED)


async def test_a_job_that_went_with_its_owner_is_not_said_to_be_deleted(cluster):
    cluster.put("configmaps", {"metadata": {"name": "owner"}})
    executor = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"), owner_config_map="owner")
    await executor.start(SPEC)
    assert cluster.objects["jobs"][NAME]["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    await executor.refresh()
    del cluster.objects["configmaps"]["owner"]
    cluster.take("jobs", NAME)
    assert (await only(executor)).cause is Cause.OWNER_DELETED
    await executor.forget(SPEC.attempt_id)
    later = AttemptSpec(AttemptId("task", 2), "sleep", {})
    with pytest.raises(StartError, match="owner not found"):
        await executor.start(later)
    assert "owner not found" in executor.trouble
    cluster.put("configmaps", {"metadata": {"name": "owner"}})
    await executor.start(later)
    assert executor.trouble is None


async def test_the_end_of_a_pod_is_told_and_what_is_forgotten_is_deleted(cluster, executor):
    await executor.start(SPEC)
    cluster.put_pod("Failed", containerStatuses=EXITED)
    async with asyncio.timeout(10), aclosing(executor.watch()) as observations:
        observation = await anext(observations)
    assert (observation.phase, observation.exit_code) == (Phase.ENDED, 3)
    await executor.forget(SPEC.attempt_id)
    assert NAME not in cluster.objects["jobs"]
    assert await listed(executor) == ()
    assert f"{NAME}-x" in cluster.objects["pods"]


async def test_a_pod_without_a_job_is_ended_if_it_lives_and_passed_over_if_not(cluster, executor):
    cluster.put_pod("Failed", containerStatuses=EXITED)
    assert await listed(executor) == ()
    cluster.put_pod("Running")
    assert (await only(executor)).phase is Phase.ALIVE
    await executor.stop(SPEC.attempt_id, StopReason.OBSOLETE)
    assert not cluster.objects["pods"]


@pytest.fixture
async def followed(executor):
    """Somebody reads what is watched."""

    async def read():
        async with aclosing(executor.watch()) as observations:
            async for _ in observations:
                pass

    reading = asyncio.create_task(read())
    yield
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_who_watches_nothing_asks_for_nothing(cluster, executor):
    await executor.start(SPEC)
    assert cluster.calls == [("create", "jobs")]


@pytest.mark.usefixtures("followed")
async def test_warnings_are_heard(cluster, executor):
    await executor.start(SPEC)
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Job", "name": NAME},
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    cluster.put("events", event)
    async with asyncio.timeout(10):
        while (await only(executor)).waiting is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await only(executor)).waiting.message == "FailedCreate: exceeded quota"


async def test_a_watch_that_breaks_is_begun_again(cluster, executor):
    await executor.start(SPEC)
    for kind in ("jobs", "pods"):
        cluster.changes[kind].put_nowait(ApiError(410, "Expired", "too old resource version"))
    cluster.put_pod("Succeeded", containerStatuses=EXITED)
    async with asyncio.timeout(10), aclosing(executor.watch()) as observations:
        assert (await anext(observations)).exit_code == 3
