"""What dies, and what must hold all the same: the service, a runner, Valkey, the receiver."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

import httpx
import psutil
import pytest
from taskpost import ApiError, Unreachable
from taskpost.receiver import Receiver

from tests.support.service import ServiceProcess, eventually, runners_of
from tests.support.valkey import ValkeyServer


def deliveries(receiver, number):
    """The next `number` deliveries that are not repeats."""
    seen = {}
    while len(seen) < number:
        received = receiver.next(60)
        seen.setdefault(received.headers["webhook-id"], received)
    return [received.json() for received in seen.values()]


def test_kill_9_of_the_service_with_tasks_queued_and_running(service, receiver, gate):
    """The running attempt is taken over: it ends as if nothing had been, and none of what was answered is lost."""
    with service.client() as client:
        running = client.submit("gate", gate.task_input, result_url=receiver.url).task
        pid = gate.begun()
        queued = [client.submit("sleep", {"seconds": 0.01}, result_url=receiver.url).task for _ in range(5)]
        answered = {running.task_id, *(task.task_id for task in queued)}
        done_before = client.wait_all([task.task_id for task in queued[:2]], timeout_seconds=30)
    assert service.kill() == -signal.SIGKILL
    assert psutil.pid_exists(pid), "the runner lives on"
    service.start()
    with service.client() as client:
        assert {task.task_id for task in client.list()} == answered
        gate.open()
        ended = client.wait_all(list(answered), timeout_seconds=60)
    assert {task.task_status for task in ended.values()} == {"done"}
    assert ended[running.task_id].attempt == 1
    assert all(ended[task_id] == task for task_id, task in done_before.items() if task.delivery.status == "delivered")
    assert Counter(body["task_id"] for body in deliveries(receiver, 6)) == Counter(answered)


def test_an_attempt_that_ended_while_the_service_was_dead_is_settled(service, receiver, gate):
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        pid = gate.begun()
    service.kill()
    os.kill(pid, signal.SIGKILL)
    service.start()
    assert gate.begun(2) != pid
    gate.open()
    (body,) = deliveries(receiver, 1)
    assert (body["task_id"], body["status"], body["attempt"]) == (task.task_id, "done", 2)


def test_an_outcome_recorded_while_the_service_was_dead_stands(service, receiver, gate):
    """The runner goes on with the Valkey that outlived the service, and makes the delivery itself."""
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
    service.kill()
    gate.open()
    (body,) = deliveries(receiver, 1)
    assert (body["task_id"], body["status"], body["attempt"]) == (task.task_id, "done", 1)
    service.start()
    with service.client() as client:
        assert client.get(task.task_id).delivery.status == "delivered"
        other = client.submit("sleep", {"seconds": 0}).task
        assert client.wait(other.task_id, timeout_seconds=30).task_status == "done"


def test_a_service_that_is_stopped_leaves_no_process_and_no_task_behind(service, receiver, gate, data_directory):
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
    assert service.stop() == 0
    assert runners_of(data_directory) == []
    service.start()
    gate.begun(2)
    gate.open()
    (body,) = deliveries(receiver, 1)
    assert (body["task_id"], body["status"], body["attempt"]) == (task.task_id, "done", 2)
    with service.client() as client:
        assert [task.task_status for task in client.list()] == ["done"]


def test_kill_9_of_a_runner_is_a_crash_of_its_task_alone(service, receiver, gate):
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        os.kill(gate.begun(), signal.SIGKILL)
        (body,) = deliveries(receiver, 1)
        assert (body["task_id"], body["status"]) == (task.task_id, "failed")
        assert body["error"] == {"code": "crashed", "message": "The runner was killed by signal 9 (Killed)"}
        other = client.submit("sleep", {"seconds": 0}).task
        assert client.wait(other.task_id, timeout_seconds=30).task_status == "done"


def test_sigterm_of_a_runner_is_a_lost_attempt_and_the_task_is_tried_again(service, receiver, gate):
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        os.kill(gate.begun(), signal.SIGTERM)
        gate.begun(2)
        gate.open()
        (body,) = deliveries(receiver, 1)
        assert (body["task_id"], body["status"], body["attempt"]) == (task.task_id, "done", 2)


def valkey_of(data_directory):
    (process,) = [one for one in runners_of(data_directory) if "valkey" in " ".join(one.cmdline())]
    return process


def test_valkey_killed_and_restarted(service, receiver, gate, data_directory):
    with service.client() as client:
        running = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
        other_gate = gate.another()
        queued = client.submit("gate", other_gate.task_input, result_url=receiver.url).task
        other_gate.begun()
        valkey_of(data_directory).kill()
        gate.open()
        other_gate.open()
        assert {body["task_id"] for body in deliveries(receiver, 2)} == {running.task_id, queued.task_id}
        eventually(lambda: _answers(client), of="the service answers again")
        assert {task.task_status for task in client.list()} == {"done"}
        other = client.submit("sleep", {"seconds": 0}).task
        assert client.wait(other.task_id, timeout_seconds=30).task_status == "done"


def _answers(client):
    try:
        return bool(list(client.list()))
    except (ApiError, Unreachable):
        return False


def test_valkey_away_for_twenty_seconds(data_directory, receiver, gate, tmp_path):
    """Answers are 503 in under two seconds; the runner holds on to its outcome; then all goes on by itself."""
    keeping = ("--appendonly", "yes", "--appendfsync", "always")
    with (
        ValkeyServer(*keeping) as valkey,
        ServiceProcess(
            data_directory, redis_url=valkey.url, callback_allow_loopback="true", concurrency=2, grace_seconds=2
        ) as service,
        service.client() as client,
    ):
        running = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
        away_since = time.monotonic()
        valkey.kill()
        gate.open()
        while time.monotonic() - away_since < 20:
            asked = time.monotonic()
            answer = httpx.post(
                f"{service.url}/api/tasks",
                json={"task_type": "sleep", "task_input": {"seconds": 0}, "result_url": None},
                trust_env=False,
            )
            assert (answer.status_code, time.monotonic() - asked < 2) == (503, True)
            assert int(answer.headers["retry-after"]) >= 1
            ready = httpx.get(f"{service.url}/readyz", trust_env=False)
            alive = httpx.get(f"{service.url}/livez", trust_env=False)
            assert (ready.status_code, alive.status_code) == (503, 200)
            time.sleep(0.5)
        valkey.start()
        (body,) = deliveries(receiver, 1)
        assert (body["task_id"], body["status"], body["attempt"]) == (running.task_id, "done", 1)
        other = client.submit("sleep", {"seconds": 0}).task
        assert client.wait(other.task_id, timeout_seconds=30).task_status == "done"


def test_r03_running_tasks_end_and_are_delivered_with_memory_full(data_directory, receiver, gate):
    with (
        ValkeyServer() as valkey,
        ServiceProcess(
            data_directory, redis_url=valkey.url, callback_allow_loopback="true", concurrency=1, grace_seconds=2
        ) as service,
        service.client() as client,
    ):
        from runner.connect import connect

        admin = connect(valkey.url)
        running = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
        queued = client.submit("sleep", {"seconds": 0}, result_url=receiver.url).task
        admin.config_set("maxmemory", "1")
        with pytest.raises(ApiError) as refusal:
            client.submit("sleep", {"seconds": 0})
        assert refusal.value.status == 503
        gate.open()
        assert {body["task_id"] for body in deliveries(receiver, 2)} == {running.task_id, queued.task_id}
        assert {task.task_id for task in client.list()} == {running.task_id, queued.task_id}
        admin.config_set("maxmemory", "0")
        assert client.submit("sleep", {"seconds": 0}).task.task_status == "queued"
        admin.close()


def test_r03_a_redis_that_evicts_is_refused_at_the_start(data_directory):
    with ValkeyServer("--maxmemory-policy", "allkeys-lru") as valkey:
        service = ServiceProcess(data_directory, redis_url=valkey.url)
        service.start()
        assert service.process.wait(30) == 1
        assert "maxmemory-policy of this Redis is allkeys-lru" in service.log()
        assert "noeviction" in service.log()
        service.stop()


def test_u06_a_receiver_that_fails_first(service):
    answers = iter([500, 500, 200])
    with Receiver(lambda _: next(answers)) as receiver, service.client() as client:
        task = client.submit("sleep", {"seconds": 0}, result_url=receiver.url).task
        tries = [receiver.next(30) for _ in range(3)]
        assert len({(one.headers["webhook-id"], one.body) for one in tries}) == 1
        ended = eventually(lambda: (t := client.get(task.task_id)).delivery.status == "delivered" and t)
        assert ended.delivery.attempts == 3
        assert ended.delivery.last_error == "the receiver answered 500"


@pytest.mark.parametrize("status", [200, 204])
def test_u06_an_empty_answer_is_a_success(service, status):
    with Receiver(lambda _: status) as receiver, service.client() as client:
        task = client.submit("sleep", {"seconds": 0}, result_url=receiver.url).task
        receiver.next(30)
        ended = eventually(lambda: (t := client.get(task.task_id)).delivery.status == "delivered" and t)
        assert (ended.delivery.attempts, ended.delivery.last_error) == (1, None)


def test_u06_a_redirect_is_no_success_and_is_not_followed_and_then_dead(data_directory):
    with (
        Receiver(lambda _: 302) as receiver,
        ServiceProcess(data_directory, callback_retry_seconds="0.1,0.1") as service,
        service.client() as client,
    ):
        task = client.submit("sleep", {"seconds": 0}, result_url=receiver.url).task
        ended = eventually(lambda: (t := client.get(task.task_id)).delivery.status == "dead" and t)
        assert (ended.delivery.attempts, ended.delivery.next_at) == (3, None)
        assert client.result(task.task_id).status == "done"


def test_u06_refused_then_up_and_the_sender_restarted_in_between(service, receiver):
    url, port = receiver.url, int(receiver.url.rsplit(":", 1)[1].strip("/"))
    receiver.close()
    with service.client() as client:
        task = client.submit("sleep", {"seconds": 0}, result_url=url).task
        failed = eventually(lambda: (t := client.get(task.task_id)).delivery.attempts and t)
        assert failed.delivery.last_error == "the connection was refused"
    service.kill()
    import http.server
    import threading

    arrived = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            pass

    http.server.HTTPServer.allow_reuse_address = True
    with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        service.start()
        assert arrived.wait(30)
        with service.client() as client:
            eventually(lambda: client.get(task.task_id).delivery.status == "delivered")
        server.shutdown()


def test_u09_an_answer_that_never_came_means_another_try_with_the_same_id(service):
    answers = iter([None, 200])
    with Receiver(lambda _: next(answers)) as receiver, service.client() as client:
        task = client.submit("sleep", {"seconds": 0}, result_url=receiver.url).task
        first, second = receiver.next(30), receiver.next(30)
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
        assert first.headers["webhook-id"] == f"msg_{task.task_id}"
        assert abs(int(second.headers["webhook-timestamp"]) - second.received_at.timestamp()) < 5


def test_r08_a_paused_service_harms_nothing(service, receiver, gate):
    with service.client() as client:
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
        service.pause()
        gate.open()
        (body,) = deliveries(receiver, 1)
        service.resume()
        ended = client.wait(task.task_id, timeout_seconds=30)
        assert (ended.task_status, ended.attempt, body["attempt"]) == ("done", 1, 1)


def test_a01_an_idempotency_key_survives_a_restart(service):
    with service.client() as client:
        first = client.submit("sleep", {"seconds": 0}, idempotency_key="once").task
    service.kill()
    service.start()
    with service.client() as client:
        assert client.submit("sleep", {"seconds": 0}, idempotency_key="once").task.task_id == first.task_id
        assert len(list(client.list())) == 1


def test_two_services_on_one_data_directory(service, data_directory):
    second = ServiceProcess(data_directory)
    with pytest.raises(AssertionError, match="in use by another Taskpost"):
        second.start()
    assert second.process.wait(10) == 1
    second.stop()
    with service.client() as client:
        assert client.submit("sleep", {"seconds": 0}).task.task_status == "queued"


def test_two_services_on_one_redis_one_leads_and_the_other_takes_over(data_directory, receiver, gate, tmp_path):
    """The lease says who; the fence of the attempt sees to it that what the dead one left running records nothing."""
    settings = {"callback_allow_loopback": "true", "concurrency": 2, "grace_seconds": 1, "log_format": "json"}
    with (
        ValkeyServer() as valkey,
        ServiceProcess(data_directory / "one", redis_url=valkey.url, **settings) as first,
        first.client() as client,
    ):
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
        with (
            ServiceProcess(data_directory / "two", redis_url=valkey.url, **settings) as second,
            second.client() as other_client,
        ):
            assert other_client.get(task.task_id).task_status == "running"
            others = [other_client.submit("sleep", {"seconds": 0}).task.task_id for _ in range(3)]
            ended = other_client.wait_all(others, timeout_seconds=30)
            assert {(one.task_status, one.attempt) for one in ended.values()} == {("done", 1)}
            assert "attempt_started" not in second.log()
            first.kill()
            killed = time.monotonic()
            gate.begun(2)
            assert time.monotonic() - killed < 15
            gate.open()
            (body,) = deliveries(receiver, 1)
            assert (body["task_id"], body["status"], body["attempt"]) == (task.task_id, "done", 2)
        first.start()


async def test_a_cancelled_call_leaves_no_reply_for_the_next_caller(redis_client):
    """A client that goes away while Redis works on its call: the connection it used is not used again as it is."""
    pending = asyncio.ensure_future(redis_client.eval("redis.call('TIME') return 'slow'", 0))
    await asyncio.sleep(0)
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    answers = await asyncio.gather(*(redis_client.echo(f"{number}") for number in range(20)))
    assert answers == [f"{number}".encode() for number in range(20)]


def test_a_leader_that_slept_past_its_lease_does_no_harm(data_directory, receiver, gate):
    """It wakes, and settles nothing of what the new leader runs."""
    settings = {"callback_allow_loopback": "true", "concurrency": 2, "grace_seconds": 1}
    with (
        ValkeyServer() as valkey,
        ServiceProcess(data_directory / "one", redis_url=valkey.url, **settings) as first,
        first.client() as client,
    ):
        task = client.submit("gate", gate.task_input, result_url=receiver.url).task
        gate.begun()
        with (
            ServiceProcess(data_directory / "two", redis_url=valkey.url, **settings) as second,
            second.client() as other_client,
        ):
            first.pause()
            gate.begun(2)
            first.resume()
            eventually(lambda: "leadership_lost" in first.log())
            later = other_client.submit("sleep", {"seconds": 0.5}).task
            assert other_client.wait(later.task_id, timeout_seconds=30).attempt == 1
            running = other_client.get(task.task_id)
            assert (running.task_status, running.attempt) == ("running", 2)
            gate.open()
            (body,) = deliveries(receiver, 1)
            assert (body["task_id"], body["status"], body["attempt"]) == (task.task_id, "done", 2)
