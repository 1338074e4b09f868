"""The main job, end to end: submitted by HTTP, run in a process, delivered by POST; and every way a task can end."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request

import gmpy2
import pytest
from taskpost import Conflict, NotFound
from taskpost.receiver import Receiver, verify

from runner.tasks.registry import BUILT_IN
from tests.support.service import ServiceProcess, eventually


def key_of(data_directory):
    return (data_directory / "signing-keys").read_text().strip()


def test_each_built_in_type_is_computed_and_delivered(service, receiver, data_directory):
    inputs = {"fibonacci": {"n": 20_578}, "prime_numbers": {"limit": 30, "list": True}, "sleep": {"seconds": 0.05}}
    with service.client() as client:
        tasks = {name: client.submit(name, given, result_url=receiver.url).task for name, given in inputs.items()}
        bodies = {}
        for _ in tasks:
            received = receiver.next(30)
            verify(received.headers, received.body, [key_of(data_directory)])
            assert received.headers["webhook-id"] == f"msg_{received.json()['task_id']}"
            assert received.headers["content-type"] == "application/json"
            bodies[received.json()["task_type"]] = received
        assert {name: body.json()["task_id"] for name, body in bodies.items()} == {
            name: task.task_id for name, task in tasks.items()
        }
        value = gmpy2.fib(20_578).digits()
        assert bodies["fibonacci"].json()["result"] == {"n": 20_578, "digits": 4301, "value": value}
        assert bodies["prime_numbers"].json()["result"]["primes"] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
        for name, task in tasks.items():
            ended = eventually(lambda task=task: _delivered(client, task.task_id))
            assert (ended.task_status, ended.task_percent_done, ended.attempt) == ("done", 100.0, 1)
            assert ended.created_at <= ended.started_at <= ended.finished_at
            assert client.result(task.task_id).body == bodies[name].body


SHORTEST_RESULTS = {
    "fibonacci": {"n": 100, "value": "354224848179261915075"},
    "prime_numbers": {"limit": 100, "count": 25, "largest": 97},
    "sleep": {"slept_seconds": 5},
}


@pytest.mark.parametrize("task_type", BUILT_IN)
def test_the_shortest_request_of_a_plain_curl_runs_as_written(service, receiver, task_type):
    """urllib sends what `curl -d` sends: the content type of a form."""
    body = json.dumps({"result_url": receiver.url, "task_type": task_type}).encode()
    request = urllib.request.Request(f"{service.url}/api/tasks", data=body)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        assert request.get_header("Content-type") == "application/x-www-form-urlencoded"
        assert answer.status == 202
    received = receiver.next(60).json()
    assert (received["task_type"], received["status"]) == (task_type, "done")
    assert received["result"].items() >= SHORTEST_RESULTS[task_type].items()


def _delivered(client, task_id):
    task = client.get(task_id)
    return task if task.delivery.status == "delivered" else None


@pytest.mark.parametrize(
    ("task_type", "code", "message"),
    [
        ("raises", "task_error", "ValueError: the moon is not full \\ud800"),
        ("calls_exit", "task_error", "SystemExit: 0"),
        ("not_a_number", "result_invalid", "result['values'][1] is nan, which JSON cannot say"),
        ("too_large", "result_too_large", "at most 8388608 are delivered"),
        ("exits", "crashed", "exit code 7 and recorded no outcome. Its last output: these are my last words"),
    ],
)
def test_every_failure_has_a_code_and_words_and_is_delivered(service, receiver, task_type, code, message):
    with service.client() as client:
        task = client.submit(task_type, {}, result_url=receiver.url).task
        body = receiver.next(30).json()
        assert (body["task_id"], body["status"], body["result"]) == (task.task_id, "failed", None)
        assert body["error"]["code"] == code
        assert message in body["error"]["message"]
        ended = client.get(task.task_id)
        assert ended.task_status == "failed"
        assert ended.error is not None
        assert ended.error.code == code
        assert ended.task_percent_done == (42.5 if task_type == "raises" else 0.0)


def test_a_task_past_its_deadline_is_ended_and_says_so(service, receiver, gate):
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url, timeout_seconds=1).task
        gate.begun()
        body = receiver.next(30).json()
        assert (body["task_id"], body["error"]["code"]) == (task.task_id, "timed_out")
        assert body["error"]["message"] == "The task ran longer than its 1 seconds"


def test_a_cancelled_running_task_ends_at_once_and_is_told_as_cancelled(service, receiver, gate):
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        pid = gate.begun()
        assert client.cancel(task.task_id).task_status == "cancelled"
        assert client.cancel(task.task_id).task_status == "cancelled"
        body = receiver.next(30).json()
        assert (body["status"], body["error"]["code"]) == ("cancelled", "cancelled")
        eventually(lambda: not _exists(pid), of="the process is gone")
        other = client.submit("sleep", {"seconds": 0}).task
        assert client.wait(other.task_id, timeout_seconds=30).task_status == "done"
        assert client.get(task.task_id).task_status == "cancelled"


def _exists(pid):
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_cancel_of_what_has_ended_or_never_was(service):
    with service.client() as client:
        done = client.submit("sleep", {"seconds": 0}).task
        client.wait(done.task_id, timeout_seconds=30)
        with pytest.raises(Conflict):
            client.cancel(done.task_id)
        with pytest.raises(NotFound):
            client.cancel("01a21094-7e57-7000-8b9b-897f2de450cf")


def test_a05_cancel_races(data_directory):
    """Cancelled at every moment of their lives: an end that was seen never changes, and is the one delivered."""
    with (
        ServiceProcess(data_directory, concurrency=4, grace_seconds=2) as service,
        service.client() as client,
        Receiver() as receiver,
    ):
        task_ids, answers = [], {}
        for number in range(40):
            task_ids.append(client.submit("sleep", {"seconds": 0.3}, result_url=receiver.url).task.task_id)
            # What is cancelled is older the further the loop is: from queued over running to done.
            victim = task_ids[max(0, number - number // 5)]
            try:
                answers[victim] = client.cancel(victim).task_status
            except Conflict:
                answers[victim] = client.get(victim).task_status
        ended = client.wait_all(task_ids, timeout_seconds=60)
        bodies = [receiver.next(30).json() for _ in task_ids]
        assert {body["task_id"]: body["status"] for body in bodies} == {
            task_id: task.task_status for task_id, task in ended.items()
        }
        assert all(ended[task_id].task_status == answer for task_id, answer in answers.items())
        assert {"done", "cancelled"} <= {task.task_status for task in ended.values()}


def test_priority_and_limits_order_the_queue(data_directory, gate):
    with (
        ServiceProcess(data_directory, concurrency=2, type_concurrency="sleep=1") as service,
        service.client() as client,
    ):
        gates = [gate, gate.another()]
        for one in gates:
            client.submit("gate", one.task_input)
        for one in gates:
            one.begun()
        low = client.submit("sleep", {"seconds": 0})
        high = client.submit("sleep", {"seconds": 0}, priority=10)
        assert (low.queue_position, high.queue_position) == (1, 1)
        assert client.get(low.task.task_id).queue_position == 2
        waiting = client.get(low.task.task_id).waiting_reason
        assert waiting is not None
        assert waiting.code == "no_free_slot"
        for one in gates:
            one.open()
        ended = client.wait_all([low.task.task_id, high.task.task_id], timeout_seconds=30)
        starts = {task_id: task.started_at for task_id, task in ended.items()}
        assert starts[high.task.task_id] < starts[low.task.task_id]


def test_p02_p09_odd_inputs_are_echoed_exactly(service, receiver):
    values = [2**64, -9223372036854775809, "a\u0000b", "\U0001f600", {"": [[], {}]}, 0.1, 1e300, True, None]
    with service.client() as client:
        for value in values:
            client.submit("echo", {"value": value}, result_url=receiver.url)
            result = receiver.next(30).json()["result"]
            # What other readers of JSON would round travels as text.
            assert result == (str(value) if isinstance(value, int) and abs(value) > 2**53 else value)
            assert type(result) is (str if isinstance(value, int) and abs(value) > 2**53 else type(value))
        assert len(list(client.list())) == len(values)


@pytest.mark.parametrize("depth", [1, 50, 95])
def test_p06_what_is_accepted_runs(service, depth):
    with service.client() as client:
        value = json.loads("[" * depth + "]" * depth)
        task = client.submit("echo", {"value": value}).task
        assert client.wait(task.task_id, timeout_seconds=30).task_status == "done"
        assert client.result(task.task_id).result == value


def test_r07_retention_takes_all_traces(data_directory):
    with ServiceProcess(data_directory, concurrency=2, retention_seconds=1.5) as service, service.client() as client:
        tasks = [client.submit("sleep", {"seconds": 0}).task for _ in range(6)]

        def listed():
            """The list is always whole: what it shows can be read."""
            return list(client.list())

        seen_done = set()
        while len(seen_done) < len(tasks) or listed():
            seen_done |= {task.task_id for task in listed() if task.task_status == "done"}
        for task in tasks:
            with pytest.raises(NotFound):
                client.get(task.task_id)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sigterm_ends_a_runner_inside_c_code_promptly(service, receiver, gate):
    """The lost attempt is tried again, and its end costs no time to speak of."""
    with service.client() as client:
        task = client.submit("busy_in_c", gate.task_input, result_url=receiver.url).task
        for attempt in (1, 2, 3):
            pid = gate.begun(attempt)
            eventually(lambda pid=pid: _computes(pid), of="inside the multiplication")
            _terminate(pid)
            eventually(lambda pid=pid: not _exists(pid), seconds=2, of="the runner has ended")
        body = receiver.next(30).json()
        assert (body["task_id"], body["attempt"], body["error"]["code"]) == (task.task_id, 3, "lost")
        assert "3 attempts were lost" in body["error"]["message"]


def _computes(pid):
    import psutil

    return psutil.Process(pid).cpu_times().user > 0.6


def _terminate(pid):
    import os

    os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("after_seconds", [0.03, 0.06, 0.1, 0.15, 0.2])
def test_sigterm_ends_a_runner_promptly_whatever_it_imports_just_then(valkey_url, after_seconds):
    """Before its own handler is there the signal's default does the same; in a container the kernel ignores it then."""
    import os
    import subprocess
    import threading
    import time

    from runner.contract import EXIT_TERMINATED

    given = {"REDIS_URL": valkey_url, "TASK_ID": "none", "ATTEMPT": "1", "TOKEN": "none"}
    environment = os.environ | {f"TASKPOST_{name}": value for name, value in given.items()}
    runner = subprocess.Popen([sys.executable, "-P", "-m", "runner"], env=environment, stderr=subprocess.PIPE)
    threading.Event().wait(after_seconds)
    runner.terminate()
    began = time.monotonic()
    _, errors = runner.communicate(timeout=5)
    assert time.monotonic() - began < 1
    assert runner.returncode in {EXIT_TERMINATED, -signal.SIGTERM} or b"refused" in errors


@pytest.mark.parametrize("seconds", [1.3, 1.6, 2.0])
def test_a_run_deadline_is_kept_to(service, seconds):
    with service.client() as client:
        task = client.submit("sleep", {"seconds": seconds}, timeout_seconds=1).task
        ended = client.wait(task.task_id, timeout_seconds=30)
        assert (ended.task_status, ended.error and ended.error.code) == ("failed", "timed_out")
        assert (ended.finished_at - ended.started_at).total_seconds() < 1.3


def answer_to(url, request):
    """What comes back for bytes that no HTTP client would send."""
    import socket
    from urllib.parse import urlsplit

    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while got := connection.recv(65536):
            answer += got
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"hello\r\n\r\n", 400, "invalid_http"),
        (b"FOO /api/tasks HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_http"),
        (b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "invalid_http"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, 431, "head_too_large"),
        (b"GET /" + b"a" * 70_000, 431, "head_too_large"),
    ],
)
def test_what_is_no_http_is_a_problem_too(service, request_bytes, status, code):
    assert answer_to(service.url, request_bytes) == (status, code)


def test_a_body_that_says_it_is_encoded_is_refused(service):
    import httpx

    body = b'{"task_type":"sleep","task_input":{"seconds":0},"result_url":null}'
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = httpx.post(f"{service.url}/api/tasks", content=body, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
