"""The service as a process, with an API server that refuses chosen calls: a fault costs no other task."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.checks import KEPT_SECONDS
from api.executors.kubernetes.follow import KINDS
from tests.support.service import ServiceProcess, eventually
from tests.support.valkey import ValkeyServer

WEBHOOK = 'Internal error occurred: failed calling webhook "x.example": connection refused'
MAY_NOT = 'jobs.batch is forbidden: User "system:serviceaccount:space:taskpost" cannot create resource "jobs"'
LABEL = "taskpost.dev/task-type"


class ApiServer:
    """Lists what was created, and answers creates of a task type as `refusals` says: status and message."""

    def __init__(self):
        self.refusals = {}
        self.jobs = {}
        self.calls = []
        self._over = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def creates(self, task_type):
        return [called for called in self.calls if called[:2] == ("POST", task_type)]

    def _handler(api):  # noqa: N805 - the handler has a self of its own
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                kind = parts.path.rsplit("/", 1)[-1]
                api.calls.append(("WATCH" if "watch" in query else "LIST", kind, query.get("resourceVersion")))
                if "watch" in query:
                    self.send_response(200)
                    self.end_headers()
                    api._over.wait(30)
                    return
                items = list(api.jobs.values()) if kind == "jobs" else []
                self._answer(200, {"metadata": {"resourceVersion": "9"}, "items": items})

            def do_POST(self):
                job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                task_type = job["metadata"]["labels"][LABEL]
                api.calls.append(("POST", task_type, time.monotonic()))
                if task_type in api.refusals:
                    status, message = api.refusals[task_type]
                    self._answer(status, {"kind": "Status", "reason": "x", "message": message})
                    return
                if urlsplit(self.path).query == "dryRun=All":
                    job["metadata"]["namespace"] = self.path.split("/")[5]
                    self._answer(201, job)
                    return
                number = len(api.jobs) + 10
                job["metadata"] |= {"uid": f"u{number}", "resourceVersion": f"{number}"}
                api.jobs[job["metadata"]["name"]] = job
                self._answer(201, job)

            def do_DELETE(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                api.jobs.pop(self.path.rsplit("/", 1)[-1], None)
                self._answer(200, {})

            def _answer(self, status, body):
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        return Handler


@pytest.fixture
def api_server():
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def cluster_service(api_server, data_directory, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    config = {
        "clusters": [{"name": "x", "cluster": {"server": api_server.url}}],
        "users": [{"name": "x", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(json.dumps(config))
    settings = {"executor": "kubernetes", "runner_image": "x", "runner_secret": "s", "namespace": "space"}
    with (
        ValkeyServer() as valkey,
        ServiceProcess(
            data_directory, redis_url=valkey.url, kubeconfig=kubeconfig, concurrency=20, **settings
        ) as service,
    ):
        yield service


def test_a_webhook_that_refuses_one_type_delays_no_other_and_is_told(cluster_service, api_server):
    api_server.refusals["fibonacci"] = (500, WEBHOOK)
    with cluster_service.client() as client:
        refused = [client.submit("fibonacci", {"n": 1}).task.task_id for _ in range(10)]
        eventually(lambda: len(api_server.creates("fibonacci")) >= 2, of="it is tried again")
        began = time.monotonic()
        quick = [client.submit("sleep", {"seconds": 0}).task.task_id for _ in range(5)]
        eventually(lambda: len(api_server.creates("sleep")) == 5, of="others start")
        assert time.monotonic() - began < 5
        waiting = [client.get(task_id) for task_id in refused]
        assert all(WEBHOOK in task.waiting_reason.message for task in waiting if task.task_status == "queued")
        assert not any(
            "A slot is free" in task.waiting_reason.message for task in waiting if task.waiting_reason is not None
        )
        assert [client.get(task_id).task_status for task_id in quick] == ["starting"] * 5
        api_server.refusals.clear()
        eventually(lambda: len(api_server.jobs) == 15, seconds=60, of="all have started")
        assert {client.get(task_id).attempt for task_id in refused} == {1}


def test_readyz_names_no_account_and_no_namespace(cluster_service, api_server):
    api_server.refusals["sleep"] = (403, MAY_NOT)
    with cluster_service.client() as client:
        client.submit("sleep", {"seconds": 0})

    def answer():
        got = httpx.get(f"{cluster_service.url}/readyz", trust_env=False)
        return got.status_code == 503 and got.text

    text = eventually(answer)
    assert "No attempt can be started now" in text
    for secret in ("serviceaccount", "space", "jobs"):
        assert secret not in text
    assert eventually(lambda: "service_not_ready" in cluster_service.log())
    assert MAY_NOT in cluster_service.log()


def test_jobs_and_pods_are_watched_and_hardly_ever_listed(cluster_service, api_server):
    eventually(lambda: len([called for called in api_server.calls if called[0] == "WATCH"]) == len(KINDS))
    with cluster_service.client() as client:
        client.submit("sleep", {"seconds": 0})
        eventually(lambda: api_server.jobs)
        began = len(api_server.calls)
        task_id = client.submit("sleep", {"seconds": 0}).task.task_id
        eventually(lambda: len(api_server.jobs) == 2)
        until = time.monotonic() + 12  # two sweeps of those that looked every ten seconds before
        eventually(lambda: time.monotonic() > until)
        assert client.get(task_id).task_status == "starting"
    since = Counter(called[:2] for called in api_server.calls[began:])
    assert not [call for call in since if call[0] == "LIST"]
    lists = [called for called in api_server.calls if called[0] == "LIST"]
    assert len([called for called in lists if called[2] == "0"]) == len(KINDS)
    assert len(lists) <= len(KINDS) + 2, "at the start, one more of Jobs and of pods past the cache"


def test_a_check_asks_by_a_dry_run_whether_jobs_can_be_created(cluster_service, api_server):
    def jobs():
        found = httpx.get(f"{cluster_service.url}/api/checks", trust_env=False).json()["checks"]
        return next(one for one in found if one["name"] == "jobs")

    assert jobs() == {"name": "jobs", "ok": True, "message": "the API server accepts a Job in the namespace space"}
    api_server.refusals["check"] = (403, MAY_NOT)
    refused = eventually(lambda: (found := jobs()) and not found["ok"] and found, of="the refusal is told")
    assert refused["message"] == MAY_NOT
    assert api_server.jobs == {}
    calls, began = len(api_server.creates("check")), time.monotonic()
    for _ in range(20):
        jobs()
    most = calls + 1 + (time.monotonic() - began) / KEPT_SECONDS
    assert len(api_server.creates("check")) <= most, "one round a second serves all who ask"
