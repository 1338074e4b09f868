"""The client against a server of HTTP that answers as API servers do."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import certifi
import pytest
from aiohttp import web

from api.executors.kubernetes import client
from api.executors.kubernetes.client import Access, ApiError, Cluster, ClusterUnusable, own_namespace

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "x", "cluster": {}}],
    "users": [{"name": "x", "user": {"token": "secret"}}],
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "current-context": "x",
}


class Server:
    """Records requests; answers with what `answers` holds."""

    def __init__(self):
        self.requests = []
        self.answers = []
        self.url = ""

    async def answer(self, request):
        body = await request.text()
        self.requests.append((request.method, str(request.rel_url), request.headers.get("Authorization"), body))
        return await self.answers.pop(0)(request)


def json_answer(value, status=200, **headers):
    async def answer(request):
        return web.json_response(value, status=status, headers=headers)

    return answer


@pytest.fixture
async def server(tmp_path):
    made = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def cluster(server, tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    path = tmp_path / "kubeconfig"
    config = KUBECONFIG | {"clusters": [{"name": "x", "cluster": {"server": server.url}}]}
    path.write_text(json.dumps(config))
    made = Cluster(Access("space", path))
    await made.open()
    await made.open()
    yield made
    await made.close()


async def test_calls_are_those_of_the_api_and_pass_by_any_proxy(server, cluster):
    server.answers = [json_answer({"items": []}), json_answer({"a": 1}), json_answer({"b": 1}), json_answer({})]
    assert await cluster.list("jobs", labelSelector="a=b,c=d") == {"items": []}
    assert await cluster.get("configmaps", "x") == {"a": 1}
    assert await cluster.create("jobs", {"kind": "Job"}) == {"b": 1}
    await cluster.delete("pods", "y", "uid")
    assert [request[:3] for request in server.requests] == [
        ("GET", "/apis/batch/v1/namespaces/space/jobs?labelSelector=a%3Db,c%3Dd&limit=500", "Bearer secret"),
        ("GET", "/api/v1/namespaces/space/configmaps/x", "Bearer secret"),
        ("POST", "/apis/batch/v1/namespaces/space/jobs", "Bearer secret"),
        ("DELETE", "/api/v1/namespaces/space/pods/y", "Bearer secret"),
    ]
    assert json.loads(server.requests[2][3]) == {"kind": "Job"}
    options = json.loads(server.requests[3][3])
    assert (options["propagationPolicy"], options["preconditions"]) == ("Background", {"uid": "uid"})


async def test_a_refusal_is_told_in_the_servers_words(server, cluster):
    status = {"kind": "Status", "reason": "TooManyRequests", "message": "slow down"}
    server.answers = [json_answer(status, 429, **{"Retry-After": "5"})]
    with pytest.raises(ApiError, match="slow down") as caught:
        await cluster.get("jobs", "x")
    error = caught.value
    assert (error.status, error.reason, error.retry_after_seconds) == (429, "TooManyRequests", 5)


async def test_an_answer_that_is_no_status_is_told_too(server, cluster):
    async def bad_gateway(request):
        return web.Response(status=502, text="")

    server.answers = [bad_gateway]
    with pytest.raises(ApiError, match="the API server answered 502"):
        await cluster.get("jobs", "x")


async def test_a_server_that_is_away_has_the_status_0(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(KUBECONFIG | {"clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}]}))
    cluster = Cluster(Access("space", path))
    await cluster.open()
    with pytest.raises(ApiError, match="does not answer") as caught:
        await cluster.get("jobs", "x")
    assert caught.value.status == 0
    await cluster.close()


async def test_a_client_that_is_not_open_says_so():
    with pytest.raises(ApiError, match="not open"):
        await Cluster(Access("x")).get("jobs", "x")
    await Cluster(Access("x")).close()


def lines(*events, then_silence=False):
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        if then_silence:
            await asyncio.sleep(5)
        return response

    return answer


async def test_a_watch_gives_changes_until_its_time_is_over(server, cluster):
    events = [{"type": "ADDED", "object": {"a": 1}}, {"type": "BOOKMARK", "object": {"b": 1}}]
    server.answers = [lines(*events)]
    seen = [event async for event in cluster.watch("pods", "7", labelSelector="x")]
    assert seen == [("ADDED", {"a": 1}), ("BOOKMARK", {"b": 1})]
    address = server.requests[0][1]
    for part in ("watch=true", "allowWatchBookmarks=true", "resourceVersion=7", "timeoutSeconds=30"):
        assert part in address


async def test_a_watch_that_is_too_old_says_410(server, cluster):
    server.answers = [lines({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})]
    with pytest.raises(ApiError, match="too old") as caught:
        async with aclosing(cluster.watch("pods", "7")) as events:
            await anext(events)
    assert caught.value.status == 410


async def test_a_watch_that_falls_silent_is_given_up(server, cluster, monkeypatch):
    monkeypatch.setattr(client, "WATCH_SECONDS", 0)
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.3)
    server.answers = [lines({"type": "ADDED", "object": {}}, then_silence=True)]
    async with aclosing(cluster.watch("pods", "7")) as events:
        assert await anext(events) == ("ADDED", {})
        with pytest.raises(ApiError, match="does not answer"):
            await anext(events)


async def test_the_token_of_the_service_account_is_read_anew_for_each_call(server, tmp_path, monkeypatch):
    host, port = server.url.removeprefix("http://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("mine\n")
    (tmp_path / "ca.crt").write_text(Path(certifi.where()).read_text(encoding="utf-8"))  # noqa: ASYNC240
    cluster = Cluster(Access(own_namespace(tmp_path), service_account=tmp_path))
    await cluster.open()
    cluster._api.configuration.host = server.url
    server.answers = [json_answer({}), json_answer({})]
    await cluster.get("jobs", "x")
    (tmp_path / "token").write_text("second")
    await cluster.get("jobs", "x")
    assert [request[2] for request in server.requests] == ["Bearer first", "Bearer second"]
    assert "/namespaces/mine/" in server.requests[0][1]
    await cluster.close()


async def test_where_nothing_says_how_a_cluster_is_reached_that_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterUnusable, match="No way to a Kubernetes cluster is known"):
        await Cluster(Access("x", service_account=tmp_path)).open()
    with pytest.raises(ClusterUnusable, match="No way to a Kubernetes cluster is known"):
        await Cluster(Access("x", tmp_path / "nothing")).open()
    assert own_namespace(tmp_path) == "default"


async def test_a_dry_run_is_asked_for(server, cluster):
    server.answers = [json_answer({"metadata": {"namespace": "space"}}), json_answer({"metadata": {}})]
    await cluster.create("jobs", {"kind": "Job"}, dry_run=True)
    await cluster.create("jobs", {"kind": "Job"})
    paths = [path for _, path, _, _ in server.requests]
    assert paths == ["/apis/batch/v1/namespaces/space/jobs?dryRun=All", "/apis/batch/v1/namespaces/space/jobs"]
