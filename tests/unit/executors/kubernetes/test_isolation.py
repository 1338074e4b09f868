"""What one object, one call or one watch does wrong costs no other attempt anything, and the API server little."""

from __future__ import annotations

import asyncio
import copy
import json
from contextlib import aclosing
from datetime import date

import pytest
from aiohttp import web

from api.cancellation import cancel
from api.core.observation import AttemptId, Cause, Phase, StopReason
from api.core.task_types import TaskTypeDefinition
from api.executors.base import AttemptSpec, ExecutorUnavailable, StartRefused, StartUnknown
from api.executors.kubernetes import KubernetesExecutor, client, follow
from api.executors.kubernetes.client import Access, ApiError, Cluster
from api.executors.kubernetes.faults import start_fault
from api.executors.kubernetes.pods import PodFile, PodSettings
from tests.support.wait import until
from tests.unit.executors.kubernetes.test_client import KUBECONFIG, json_answer, server  # noqa: F401 - a fixture
from tests.unit.executors.kubernetes.test_executor import EXITED, LABELS, NAME, SETTINGS, SPEC, ScriptedCluster

NUMBER = 8


class CountingCluster(ScriptedCluster):
    """Keeps the queries of lists, and lists and watches as it is told to."""

    def __init__(self):
        super().__init__()
        self.queries = []
        self.watches = {}

    async def list(self, kind, **query):
        self.queries.append((kind, query.get("resourceVersion")))
        return await super().list(kind, **query)

    async def watch(self, kind, version, **query):
        if kind in self.watches:
            self.watches[kind]()
            return
        async for change in super().watch(kind, version, **query):
            yield change


@pytest.fixture
def cluster():
    return CountingCluster()


@pytest.fixture
async def executor(cluster):
    made = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"))
    yield made
    await made.close()


@pytest.fixture
async def followed(executor):
    """Somebody reads what is watched."""
    seen = []

    async def read():
        async with aclosing(executor.watch()) as observations:
            async for observation in observations:
                seen.append(observation)  # noqa: PERF401 - read while it grows

    reading = asyncio.create_task(read())
    yield seen
    await cancel(reading)


def specs(number=NUMBER):
    return [AttemptSpec(AttemptId(f"task{n}", 1), "sleep", {"TASKPOST_TOKEN": "token"}) for n in range(number)]


async def start_all(executor):
    for spec in specs():
        await executor.start(spec)


BROKEN = {
    "deletionTimestamp": {"metadata": {"deletionTimestamp": "yesterday", "deletionGracePeriodSeconds": None}},
    "status": {"status": ["no", "object"]},
    "no spec": {"spec": None, "status": None},
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("position", range(NUMBER))
async def test_an_object_that_cannot_be_read_hides_no_other_and_is_never_called_gone(
    cluster, executor, followed, position, broken
):
    await start_all(executor)
    name = f"tp-task{position}-1"
    raw = copy.deepcopy(cluster.objects["jobs"][name])
    for member, value in BROKEN[broken].items():
        raw[member] = raw[member] | value if isinstance(value, dict) else value
    cluster.put("jobs", raw)
    pod = {"metadata": {"name": f"{name}-x", "labels": raw["metadata"]["labels"]}, "status": ["no", "object"]}
    cluster.put("pods", pod)
    await executor.refresh()
    seen = {observation.attempt_id: observation.phase for observation in await executor.list()}
    assert seen == {spec.attempt_id: Phase.ALIVE for spec in specs()}
    bad = AttemptId(f"task{position}", 1)
    await executor.stop(bad, StopReason.DEADLINE)
    cluster.objects["jobs"].pop(name, None)  # one that was going already goes by itself
    cluster.objects["pods"].pop(f"{name}-x", None)
    await executor.refresh()
    phases = {observation.attempt_id: observation.phase for observation in await executor.list()}
    assert phases.pop(bad) is Phase.GONE, "when nothing is left of it, it is over"
    assert set(phases.values()) == {Phase.ALIVE}


@pytest.mark.parametrize("change", [{}, {"metadata": None}, {"metadata": {"name": 5}}, {"metadata": {"uid": "u"}}])
async def test_a_change_that_is_no_object_ends_no_watch(cluster, executor, followed, change):
    await executor.start(SPEC)
    for kind in ("jobs", "pods", "events"):
        raw = {"metadata": {"resourceVersion": "7"} | (change.get("metadata") or {})}
        cluster.changes[kind].put_nowait(("MODIFIED", raw))
    cluster.put_pod("Failed", containerStatuses=EXITED)
    await until(lambda: followed)
    assert followed[0].exit_code == 3
    assert [kind for kind, _ in cluster.queries].count("pods") == 1, "it is the watch that goes on"


async def test_a_list_without_items_is_an_empty_one(cluster, executor):
    async def listing(kind, **_):
        return {"metadata": {"resourceVersion": "9"}, "items": None}

    cluster.list = listing
    await executor.refresh()
    assert await executor.list() == ()


@pytest.mark.parametrize("kind", follow.KINDS)
@pytest.mark.parametrize("how", ["410", "over", "refused", "leaked"])
async def test_a_watch_that_never_works_lists_less_and_less_often(cluster, executor, monkeypatch, kind, how):
    """The pauses are 0.5, 1, 2, 4, 8, 10 s: five lists take 7.5 s at least, ten of them 57.5 s."""
    pauses = []
    sleep = asyncio.sleep

    async def note(seconds):
        pauses.append(seconds)
        await sleep(0)

    class Asyncio:
        """The module, but for its sleep: nothing else here is to be hurried."""

        def __getattr__(self, name):
            return note if name == "sleep" else getattr(asyncio, name)

    def broken():
        if how == "410":
            raise ApiError(410, "Expired", "too old resource version")
        if how == "refused":
            raise ApiError(403, "Forbidden", "cannot watch")
        if how == "leaked":
            raise asyncio.CancelledError

    cluster.watches = {kind: broken}
    monkeypatch.setattr(follow, "asyncio", Asyncio())
    async with aclosing(executor.watch()) as observations:
        reading = asyncio.ensure_future(anext(observations))
        await until(lambda: len(pauses) >= 8)
        await cancel(reading)
    assert pauses[:8] == [0.5, 1, 2, 4, 8, 10, 10, 10]
    assert [listed for listed, _ in cluster.queries].count(kind) <= len(pauses) + 1


async def test_a_list_for_a_watch_is_from_the_cache_unless_that_is_too_old(cluster, executor, followed, monkeypatch):
    monkeypatch.setattr(follow, "FIRST_PAUSE_SECONDS", 0.001)
    await until(lambda: len(cluster.queries) == len(follow.KINDS))
    assert {version for _, version in cluster.queries} == {"0"}
    cluster.changes["jobs"].put_nowait(ApiError(410, "Expired", "too old resource version"))
    await until(lambda: len(cluster.queries) == len(follow.KINDS) + 1)
    assert cluster.queries[-1] == ("jobs", None)
    await executor.refresh()
    assert cluster.queries[-2:] == [("jobs", None), ("pods", None)], "what is not seen is asked for past the cache"


async def test_a_list_that_is_older_than_a_job_does_not_end_it(cluster, executor, followed):
    """The cache of an API server lags: what is newer than the list was not there yet."""
    await until(lambda: len(cluster.queries) == len(follow.KINDS))
    stale = await cluster.list("jobs")
    await executor.start(SPEC)

    async def listing(kind, **_):
        return copy.deepcopy(stale)

    cluster.list = listing
    cluster.changes["jobs"].put_nowait(ApiError(410, "Expired", "too old resource version"))
    await until(cluster.changes["jobs"].empty)
    assert [observation.phase for observation in await executor.list()] == [Phase.ALIVE]


@pytest.mark.parametrize("kind", ["jobs", "pods"])
async def test_a_stop_that_is_cut_off_is_sent_again(cluster, kind):
    command = TaskTypeDefinition("sleep", "", {}, {}, None, 60, lambda _: 60, command=("x",), image="y")
    executor = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x", sidecar=PodSettings(image="z")))
    await executor.start(AttemptSpec(SPEC.attempt_id, "sleep", {"TASKPOST_TOKEN": "token"}, 60, command))
    cluster.put_pod()
    await executor.refresh()
    delete, hanging = cluster.delete, asyncio.Event()

    async def hang(about, *arguments, **named):
        if about == kind:
            hanging.set()
            await asyncio.Event().wait()
        await delete(about, *arguments, **named)

    cluster.delete = hang
    stopping = asyncio.create_task(executor.stop(SPEC.attempt_id, StopReason.CANCELLED))
    await hanging.wait()
    await cancel(stopping)
    cluster.delete = delete
    (observation,) = await executor.list()
    assert observation.stop_asked is None
    await executor.stop(SPEC.attempt_id, StopReason.CANCELLED)
    assert not cluster.objects["jobs"]
    assert not cluster.objects["pods"]


async def test_while_the_owner_cannot_be_asked_for_no_deleted_job_is_somebody_s_deed(cluster):
    cluster.put("configmaps", {"metadata": {"name": "owner"}})
    executor = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"), owner_config_map="owner")
    await start_all(executor)
    await executor.refresh()
    for spec in specs():
        cluster.take("jobs", f"tp-{spec.attempt_id}")
    cluster.faults["get"] = [ApiError(0, "Unreachable", "no answer")]
    await executor.refresh()
    before = len(cluster.calls)
    assert {observation.phase for observation in await executor.list()} == {Phase.ALIVE}
    assert len(cluster.calls) - before == 1, "one call for all"
    assert {observation.cause for observation in await executor.list()} == {Cause.JOB_DELETED}


async def test_settings_that_json_has_no_form_for_are_refused_with_the_reason(cluster):
    """YAML reads `2024-01-01` as a date."""
    pod = {"env": [{"name": "SINCE", "value": date(2024, 1, 1)}]}
    poison = TaskTypeDefinition("sleep", "", {}, {}, None, 60, lambda _: 60, pod=pod)
    executor = KubernetesExecutor(cluster, SETTINGS, lambda definition: PodFile().of_type(definition, "x"))
    with pytest.raises(StartRefused, match=r"date is not JSON serializable.*quotes"):
        await executor.start(AttemptSpec(SPEC.attempt_id, "sleep", {}, 60, poison))
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("status", "message", "may_exist"),
    [
        (0, "no answer", True),
        (500, 'Internal error occurred: failed calling webhook "x": failed to call webhook', False),
        (500, "etcdserver: request timed out", True),
        (429, "too many requests", False),
        (503, "apiserver is shutting down", True),
        (409, "conflict", True),
    ],
)
def test_whether_a_job_may_exist_all_the_same(status, message, may_exist):
    fault = start_fault(ApiError(status, "", message))
    assert isinstance(fault, StartUnknown)
    assert fault.may_exist is may_exist


@pytest.fixture
async def real_cluster(server, tmp_path):  # noqa: F811
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(KUBECONFIG | {"clusters": [{"name": "x", "cluster": {"server": server.url}}]}))
    made = Cluster(Access("space", path))
    await made.open()
    yield made
    await made.close()


async def test_a_call_that_never_left_has_made_no_job(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(KUBECONFIG | {"clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}]}))
    cluster = Cluster(Access("space", path))
    await cluster.open()
    executor = KubernetesExecutor(cluster, SETTINGS, lambda _: PodSettings(image="x"))
    with pytest.raises(StartUnknown) as caught:
        await executor.start(SPEC)
    assert not caught.value.may_exist
    await executor.close()


async def test_a_call_whose_answer_is_lost_may_have_made_one(server, real_cluster):  # noqa: F811
    async def dropped(request):
        request.transport.abort()
        return web.Response()

    server.answers = [dropped]
    executor = KubernetesExecutor(real_cluster, SETTINGS, lambda _: PodSettings(image="x"))
    with pytest.raises(StartUnknown) as caught:
        await executor.start(SPEC)
    assert caught.value.may_exist


def page(names, following=None, version="7"):
    metadata = {"resourceVersion": version} | ({"continue": following} if following else {})
    return json_answer({"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]})


def names_of(listed):
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_a_list_is_asked_for_page_by_page(server, real_cluster):  # noqa: F811
    server.answers = [page(["a", "b"], "more/=&"), page(["c"], "yet"), page(["d"])]
    listed = await real_cluster.list("jobs", labelSelector="x", resourceVersion="0")
    assert names_of(listed) == ["a", "b", "c", "d"]
    assert listed["metadata"]["resourceVersion"] == "7"
    urls = [request[1] for request in server.requests]
    assert all("limit=500" in url and "labelSelector=x" in url for url in urls)
    assert ["resourceVersion=0" in url for url in urls] == [True, False, False]
    assert ["continue=" in url for url in urls] == [False, True, True]


async def test_a_list_that_takes_too_long_for_its_pages_is_asked_for_at_once(server, real_cluster):  # noqa: F811
    gone = json_answer({"reason": "Expired", "message": "the continue parameter is too old"}, 410)
    server.answers = [page(["a"], "more"), gone, page(["a", "b"])]
    assert names_of(await real_cluster.list("jobs")) == ["a", "b"]
    assert "limit" not in server.requests[2][1]


async def test_a_list_that_never_ends_is_given_up(server, real_cluster, monkeypatch):  # noqa: F811
    monkeypatch.setattr(client, "MOST_PAGES", 3)
    server.answers = [page(["a"], "more")] * 5
    with pytest.raises(ApiError, match="does not end"):
        await real_cluster.list("jobs")
    assert len(server.requests) == 4


async def test_a_refresh_that_fails_on_its_second_page_says_nothing_is_gone(server, real_cluster):  # noqa: F811
    executor = KubernetesExecutor(real_cluster, SETTINGS, lambda _: PodSettings(image="x"))

    async def created(request):
        body = await request.json()
        body["metadata"] |= {"uid": "u", "resourceVersion": "1"}
        return web.json_response(body)

    server.answers = [created]
    await executor.start(SPEC)
    server.answers = [page([], "more"), json_answer({"message": "no"}, 500)]
    with pytest.raises(ExecutorUnavailable):
        await executor.refresh()
    assert [observation.phase for observation in await executor.list()] == [Phase.ALIVE]


async def test_an_object_of_ours_with_strange_labels_is_passed_over(cluster, executor):
    for number, labels in enumerate([None, {}, LABELS | {"taskpost.dev/attempt": "x"}, {"taskpost.dev/task-id": ""}]):
        cluster.put("jobs", {"metadata": {"name": f"job{number}", "labels": labels}})
    await executor.start(SPEC)
    await executor.refresh()
    assert [observation.attempt_id for observation in await executor.list()] == [SPEC.attempt_id]
    assert NAME in cluster.objects["jobs"]


async def test_a_suspended_program_that_is_slow_to_be_hastened_hides_no_end(cluster, executor, monkeypatch):
    """The delete of one pod is not answered: the ends of others are told all the same."""
    command = TaskTypeDefinition("sleep", "", {}, {}, None, 60, lambda _: 60, command=("x",), image="y")
    monkeypatch.setattr("api.executors.kubernetes.deletion.has_program_to_end", lambda seen: seen.is_container)

    async def hang(*_, **__):
        await asyncio.Event().wait()

    pods = PodSettings(image="x", sidecar=PodSettings(image="z"))
    mixed = KubernetesExecutor(cluster, SETTINGS, lambda _: pods)
    suspended = AttemptSpec(AttemptId("first", 1), "sleep", {"TASKPOST_TOKEN": "token"}, 60, command)
    for spec in (suspended, SPEC):
        await mixed.start(spec)
        labels = cluster.objects["jobs"][f"tp-{spec.attempt_id}"]["metadata"]["labels"]
        pod = {"metadata": {"name": f"tp-{spec.attempt_id}-x", "labels": labels}}
        cluster.put("pods", pod | {"status": {"phase": "Failed", "containerStatuses": EXITED}})
    cluster.delete = hang
    seen = set()
    async with asyncio.timeout(10), aclosing(mixed.watch()) as observations:
        async for observation in observations:
            seen.add(observation.attempt_id)
            if len(seen) == 2:
                break
    assert seen == {suspended.attempt_id, SPEC.attempt_id}
