"""The log of an attempt's pod, through an API server that refuses, lags and hangs."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from api.core.log_tail import LogTail
from api.core.observation import AttemptId
from api.executors.base import AttemptSpec
from api.executors.kubernetes import KubernetesExecutor, client, pod_log
from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.pods import PodSettings
from runner.tail_file import KEPT_BYTES
from tests.unit.executors.kubernetes.test_client import cluster, server  # noqa: F401 - fixtures
from tests.unit.executors.kubernetes.test_executor import NAME, SETTINGS, SPEC, ScriptedCluster

POD = f"{NAME}-x"
UNKNOWN = AttemptId("unknown", 1)


class Cluster(ScriptedCluster):
    """Has logs too, by pod: what is read of it, or None if it is too long to be read to its end."""

    def __init__(self):
        super().__init__()
        self.logs = {}

    async def read_log(self, pod, container, lines, most_bytes):
        self._call("read_log", pod, container, lines)
        found = self.logs.get(pod, (b"", False))
        return found if found is not None or lines > pod_log.FEW_LINES else (b"the end", True)


@pytest.fixture
def scripted():
    return Cluster()


def executor_of(scripted):
    return KubernetesExecutor(scripted, SETTINGS, lambda _: PodSettings(image="x"))


@pytest.fixture
async def executor(scripted):
    made = executor_of(scripted)
    await made.start(SPEC)
    scripted.put_pod()
    await made.refresh()
    return made


def reads(scripted):
    return [call for call in scripted.calls if call[0] == "read_log"]


async def test_it_is_that_of_the_task_s_container(scripted, executor):
    scripted.logs[POD] = (b"hello\n", False)
    assert await executor.read_log(SPEC.attempt_id) == LogTail(b"hello\n")
    assert reads(scripted) == [("read_log", POD, "task", pod_log.LINES)]


async def test_of_a_long_one_the_end_is_kept(scripted, executor):
    scripted.logs[POD] = (b"x" * KEPT_BYTES * 2, False)
    tail = await executor.read_log(SPEC.attempt_id)
    assert (len(tail.data), tail.truncated) == (KEPT_BYTES, True)


async def test_of_one_with_endless_lines_the_last_few_are_read(scripted, executor):
    scripted.logs[POD] = None
    assert await executor.read_log(SPEC.attempt_id) == LogTail(b"the end", truncated=True)


@pytest.mark.parametrize(
    "error",
    [
        b"unable to retrieve container logs for containerd://a7b4217f4b3c1b26",
        b'failed to open log file "/var/log/pods/x/task/0.log": open /var: no such file',
        b'failed to try resolving symlinks in path "/var/log/pods/x/task/0.log": lstat /var: no such file\n',
    ],
)
async def test_an_error_of_the_kubelet_is_not_what_the_task_has_written(scripted, executor, error):
    scripted.logs[POD] = (error, False)
    assert await executor.read_log(SPEC.attempt_id) == LogTail(note=pod_log.GONE)
    scripted.logs[POD] = (b"hello\n" + error, False)
    assert (await executor.read_log(SPEC.attempt_id)).data == b"hello\n" + error


async def test_a_service_that_does_not_follow_the_cluster_asks_for_the_pod(scripted, executor):
    scripted.logs[POD] = (b"hello\n", False)
    standby = executor_of(scripted)
    assert await standby.read_log(SPEC.attempt_id) == LogTail(b"hello\n")
    scripted.objects["pods"].clear()
    assert await standby.read_log(UNKNOWN) == LogTail()


async def test_a_pod_that_is_gone_is_not_asked(scripted, executor):
    scripted.take("pods", POD)
    await executor.refresh()
    log = await executor.read_log(SPEC.attempt_id)
    assert (log.data, "gone" in log.note) == (b"", True)
    assert reads(scripted) == []


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (ApiError(400, "BadRequest", 'container "task" is waiting to start'), ""),
        (ApiError(400, "BadRequest", 'container "task" in pod "x" is terminated'), "Its pod was gone"),
        (ApiError(404, "NotFound", "pods not found"), "Its pod was gone"),
        (ApiError(403, "Forbidden", "pods is forbidden"), "the verb get for pods/log"),
        (ApiError(500, "InternalError", "dial\ntcp" + "x" * 9999), "cannot be read: dial\\ntcp"),
    ],
)
async def test_what_keeps_it_from_being_read_is_its_note(scripted, executor, error, note):
    scripted.faults["read_log"] = [error]
    log = await executor.read_log(SPEC.attempt_id)
    assert log.data == b""
    assert note in log.note and bool(note) == bool(log.note)
    assert len(log.note) < 500


async def test_an_api_server_that_is_away_raises_nothing(scripted):
    scripted.faults["list"] = [ApiError(0, "NotConnected", "the API server does not answer")]
    assert "does not answer" in (await executor_of(scripted).read_log(SPEC.attempt_id)).note


async def test_a_node_that_does_not_answer_is_left_alone_for_a_minute_and_others_are_not(scripted, monkeypatch):
    executor, now = executor_of(scripted), [1000.0]
    monkeypatch.setattr(pod_log.time, "monotonic", lambda: now[0])
    other = AttemptSpec(AttemptId("other", 1), "sleep", {"TASKPOST_TOKEN": "token"})
    for spec, node in ((SPEC, "hung"), (other, "well")):
        await executor.start(spec)
        job = scripted.objects["jobs"][f"tp-{spec.attempt_id}"]
        name = f"tp-{spec.attempt_id}-x"
        metadata = {"name": name, "labels": job["metadata"]["labels"]}
        scripted.put("pods", {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}})
        scripted.logs[name] = (node.encode(), False)
    await executor.refresh()
    scripted.faults["read_log"] = [ApiError(0, "Unreachable", "the API server does not answer")]
    assert (await executor.read_log(SPEC.attempt_id)).note
    assert "hung did not answer lately" in (await executor.read_log(SPEC.attempt_id)).note
    assert len(reads(scripted)) == 1
    assert (await executor.read_log(other.attempt_id)).data == b"well"
    now[0] += pod_log.SILENT_SECONDS + 1
    assert (await executor.read_log(SPEC.attempt_id)).data == b"hung"


def log_answer(*chunks):
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return answer


async def test_the_client_reads_a_stream_of_any_length_in_bounded_memory(server, cluster):  # noqa: F811
    server.answers = [log_answer(b"one\n", b"two\n"), log_answer(*[b"x" * 65536] * 40), log_answer(b"a\n" * 10)]
    assert await cluster.read_log("pod", "task", 100, 10**7) == (b"one\ntwo\n", False)
    assert server.requests[0][1] == "/api/v1/namespaces/space/pods/pod/log?container=task&tailLines=100"
    end, truncated = await cluster.read_log("pod", "task", 100, 10**7)
    assert (set(end), len(end), truncated) == (set(b"x"), client.LOG_KEPT_BYTES, True)
    assert await cluster.read_log("pod", "task", 10, 10**7) == (b"a\n" * 10, True), "there may have been more lines"


async def test_the_client_gives_a_stream_up_that_is_too_long(server, cluster):  # noqa: F811
    server.answers = [log_answer(*[b"x" * 65536] * 40)]
    assert await cluster.read_log("pod", "task", 100, 10**6) is None


async def test_the_client_gives_a_node_up_that_hangs(server, cluster, monkeypatch):  # noqa: F811
    monkeypatch.setattr(client, "LOG_SECONDS", 0.3)
    over = asyncio.Event()

    async def hang(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await over.wait()
        return response

    server.answers = [hang]
    with pytest.raises(ApiError) as raised:
        await cluster.read_log("pod", "task", 100, 10**6)
    over.set()
    assert raised.value.status == 0
