"""Callbacks to receivers of every kind, by the runner's try and the service's: seen, steered, fair, never lost."""

from __future__ import annotations

import asyncio
import queue
import socket
import statistics
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from taskpost import ApiError, Conflict

from tests.support.misbehaving import Misbehaving, bomb
from tests.support.service import ServiceProcess, eventually
from tests.support.serving import serving

HANGING = 200
HEALTHY = 100
PROMPT_SECONDS = 0.3


@pytest.fixture
def misbehaving(data_directory):
    """A receiver; when the test is over every try that it had is signed by a key of the service."""
    with Misbehaving() as receiver:
        yield receiver
        keys = (data_directory / "signing-keys").read_text().split()
        for one in receiver.received:
            assert any(is_signed(one, key) for key in keys), one


def is_signed(one, key):
    try:
        Webhook(key).verify(one.body, one.headers)
    except WebhookVerificationError:
        return False
    return True


@pytest.fixture
def client(service):
    with service.client() as connected:
        yield connected


def ended(client, result_url, **more):
    """A task that has ended, its first try made by its runner."""
    task_id = client.submit("sleep", {"seconds": 0}, result_url=result_url, **more).task.task_id
    client.wait(task_id, timeout_seconds=60)
    return task_id


def when(client, task_id, status, seconds=30):
    def seen():
        found = client.deliveries(task_id)
        return found if found.delivery.status == status else None

    return eventually(seen, seconds=seconds, of=f"{task_id} {status}: {client.deliveries(task_id)}")


def test_each_try_is_told_and_a_dead_one_can_be_asked_for_again(client, misbehaving):
    """U06: other answers than 2xx are tried again, and 204 is delivered once."""
    task_id = ended(client, misbehaving.url("/then/500/302/204?body=not+yet"))
    found = when(client, task_id, "delivered")
    assert [(made.by, made.http_status) for made in found.tries] == [
        ("runner", 500),
        ("service", 302),
        ("service", 204),
    ]
    assert [made.error for made in found.tries] == [
        "the receiver answered 500",
        "the receiver answered 302, and redirects are not followed",
        None,
    ]
    assert all(made.duration_seconds < 5 for made in found.tries)
    moments = [made.at for made in found.tries]
    assert moments == sorted(moments)
    sent = misbehaving.received
    assert {one.headers["webhook-id"] for one in sent} == {f"msg_{task_id}"}
    assert {one.body for one in sent} == {client.result(task_id).body}
    assert client.redeliver(task_id).delivery.status == "pending"
    assert len(when(client, task_id, "delivered").tries) == 4


def test_410_is_final_until_somebody_asks_again(client, misbehaving):
    task_id = ended(client, misbehaving.url("/status/410?body=gone+for+good"))
    found = when(client, task_id, "dead")
    assert (len(found.tries), found.last_answer) == (1, "gone for good")
    assert [dead.task_id for dead in client.list_deliveries("dead")] == [task_id]
    misbehaving.mended = True
    client.redeliver(task_id)
    when(client, task_id, "delivered")
    assert list(client.list_deliveries("dead")) == []


def test_when_the_schedule_is_used_up_a_delivery_is_dead_and_all_of_a_host_can_be_asked_for_again(
    data_directory, misbehaving
):
    with (
        ServiceProcess(data_directory, concurrency=2, callback_retry_seconds="0.1,0.2") as service,
        service.client() as client,
        Misbehaving() as other,
    ):
        began = datetime.now(UTC)
        task_ids = [ended(client, misbehaving.url("/close")) for _ in range(3)]
        elsewhere = ended(client, other.url("/status/500"))
        makers = {
            task_id: [made.by for made in when(client, task_id, "dead").tries] for task_id in (*task_ids, elsewhere)
        }
        assert makers[task_ids[0]] == makers[elsewhere] == ["runner", "service", "service"]
        assert makers[task_ids[1]] == ["service"] * 3, "its receiver has failed before"
        listed = [dead.task_id for dead in client.list_deliveries("dead", limit=2)]
        assert listed == [elsewhere, task_ids[-1]]
        host = f"127.0.0.1:{misbehaving.port}"
        assert [dead.task_id for dead in client.list_deliveries("dead", host=host)] == task_ids[::-1]
        misbehaving.mended = other.mended = True
        assert client.redeliver_dead(host=host, finished_before=began) == 0
        assert client.redeliver_dead(host=host, finished_from=began) == 3
        for task_id in task_ids:
            when(client, task_id, "delivered")
        assert client.redeliver_dead(host="127.0.0.1", finished_before=datetime.now(UTC) + timedelta(hours=1)) == 1
        when(client, elsewhere, "delivered")


def test_what_cannot_be_sent_again_says_why(client, gate, misbehaving):
    without = client.submit("sleep", {"seconds": 0}).task.task_id
    client.wait(without, timeout_seconds=60)
    running = client.submit("gate", gate.task_input, result_url=misbehaving.url("/status/204")).task.task_id
    with pytest.raises(Conflict) as refused:
        client.redeliver(without)
    assert refused.value.code == "no_callback"
    with pytest.raises(Conflict) as refused:
        client.redeliver(running)
    assert refused.value.code == "not_ended"
    with pytest.raises(ApiError) as unknown:
        client.redeliver("0198c0de-7e57-7000-8abc-0123456789ab")
    assert unknown.value.status == 404
    gate.begun()
    gate.open()
    client.wait(running, timeout_seconds=60)


BEHAVIOURS = {
    "/status/204": (204, None),
    "/status/200?body=ok": (200, None),
    "/endless": (200, None),
    "/trickle-body": (200, None),
    "/status/301": (301, "redirects are not followed"),
    "/status/404": (404, "404"),
    "/bomb": (500, "500"),
    "/headers": (200, None),
    "/trickle-status": (200, None),
    "/reset": (None, "the connection broke"),
    "/close": (None, "closed without an answer"),
    "/garbage": (None, "the answer is not HTTP"),
    "/hang": (None, "no answer within"),
    "/trickle": (None, "no answer within"),
}


def test_the_runner_and_the_service_see_the_same_in_an_answer(data_directory):
    """Each at an address of its own, that has answered before: else the runners would leave it to the service."""
    with (
        ServiceProcess(data_directory, concurrency=4, callback_retry_seconds="0.1") as service,
        service.client() as client,
        Misbehaving(host="0.0.0.0") as misbehaving,
    ):
        hosts = {path: f"127.0.1.{number}" for number, path in enumerate(BEHAVIOURS, 1)}
        primed = [ended(client, misbehaving.url("/status/204", host)) for host in hosts.values()]
        for task_id in primed:
            when(client, task_id, "delivered")
        misbehaving.received.clear()
        bomb()
        task_ids = {
            path: client.submit("sleep", {"seconds": 0}, result_url=misbehaving.url(path, host)).task.task_id
            for path, host in hosts.items()
        }
        for path, (status, error) in BEHAVIOURS.items():
            task_id = task_ids[path]
            client.wait(task_id, timeout_seconds=60)
            if error is None:
                when(client, task_id, "delivered")
                client.redeliver(task_id)
            found = when(client, task_id, "dead" if error else "delivered", 60)
            first, second = found.tries[:2]
            assert (first.by, second.by) == ("runner", "service")
            for made in (first, second):
                assert made.http_status == status, (path, made)
                assert (made.error is None) == (error is None)
                assert (error or "") in (made.error or ""), (path, made)
        assert {one.body for one in misbehaving.received} == {
            client.result(task_id).body for task_id in task_ids.values()
        }


@pytest.mark.alone
def test_receivers_that_hang_do_not_hold_up_others(data_directory, gate):
    """200 hosts each hang a try; what ends meanwhile, with no runner to tell it, is told at once all the same."""
    with (
        ServiceProcess(data_directory, concurrency=1) as service,
        service.client() as client,
        Misbehaving(host="0.0.0.0") as hanging,
        Misbehaving() as healthy,
    ):
        client.submit("gate", gate.task_input)
        gate.begun()
        for number in range(HANGING):
            url = hanging.url("/hang", f"127.0.{1 + number // 100}.{1 + number % 100}")
            client.cancel(client.submit("sleep", {"seconds": 0}, result_url=url).task.task_id)
        hanging.wait_for(HANGING)
        delays = []
        for number in range(HEALTHY):
            task_id = client.submit("sleep", {"seconds": 0}, result_url=healthy.url("/status/204")).task.task_id
            began = time.monotonic()
            client.cancel(task_id)
            healthy.wait_for(number + 1)
            delays.append(time.monotonic() - began)
        assert len(hanging.received) == HANGING, "none has been given up meanwhile"
        p99 = statistics.quantiles(delays, n=100)[98]
        assert p99 < PROMPT_SECONDS, f"p99 {p99 * 1000:.0f} ms"
        gate.open()


def test_one_host_gets_no_more_than_its_share(data_directory, gate):
    with (
        ServiceProcess(data_directory, concurrency=1) as service,
        service.client() as client,
        Misbehaving() as hanging,
        Misbehaving() as healthy,
    ):
        client.submit("gate", gate.task_input)
        gate.begun()
        for _ in range(60):
            client.cancel(client.submit("sleep", {"seconds": 0}, result_url=hanging.url("/hang")).task.task_id)
        hanging.wait_for(16)
        client.cancel(client.submit("sleep", {"seconds": 0}, result_url=healthy.url("/status/204")).task.task_id)
        healthy.wait_for(1, 5)
        assert len(hanging.received) == 16
        gate.open()


def test_keys_that_are_rotated_sign_from_then_on(service, client, misbehaving, data_directory):
    keys = data_directory / "signing-keys"
    old, new = keys.read_text().strip(), "whsec_" + "bmV3" * 10
    task_id = ended(client, misbehaving.url("/then/500/204"))
    when(client, task_id, "delivered")
    fresh = keys.with_name("fresh")
    fresh.write_text(f"{old}\n{new}\n")
    fresh.replace(keys)
    client.redeliver(task_id)
    (*before, after) = misbehaving.wait_for(3)
    for one in before:
        Webhook(old).verify(one.body, one.headers)
        assert len(one.headers["webhook-signature"].split()) == 1
    for key in (old, new):
        Webhook(key).verify(after.body, after.headers)
    when(client, task_id, "delivered")  # asked for while a try is under way, another would not be made
    keys.write_text("half a key")  # what cannot be read leaves those before in force
    client.redeliver(task_id)
    Webhook(new).verify(misbehaving.wait_for(4)[3].body, misbehaving.received[3].headers)
    assert "files_not_reread" in service.log()
    keys.write_text(f"{old}\n{new}\n")


def test_u06_a_service_that_dies_between_two_tries_makes_the_second(service, misbehaving):
    with service.client() as client:
        task_id = ended(client, misbehaving.url("/then/500/204"))
        service.kill()
    service.start()
    with service.client() as client:
        found = when(client, task_id, "delivered", 60)
        assert [made.by for made in found.tries] == ["runner", "service"]


@pytest.mark.parametrize(("moment", "path"), [("before", "/status/204"), ("during", "/hang"), ("after", "/status/204")])
def test_a_runner_that_dies_around_its_own_try_leaves_it_to_the_service(data_directory, misbehaving, moment, path):
    with (
        ServiceProcess(data_directory, concurrency=1, task_modules="tests.e2e.types.e2e_types") as service,
        service.client() as client,
    ):
        given = {"moment": moment}
        task_id = client.submit("dies_in_its_try", given, result_url=misbehaving.url(path)).task.task_id
        assert client.wait(task_id, timeout_seconds=60).task_status == "done"
        if moment != "before":
            misbehaving.wait_for(1)
        misbehaving.mended = True
        found = when(client, task_id, "delivered")
        assert [made.by for made in found.tries] == ["service"]
        assert {one.headers["webhook-id"] for one in misbehaving.received} == {f"msg_{task_id}"}
        assert {one.body for one in misbehaving.received} == {client.result(task_id).body}
        assert len(misbehaving.received) == (1 if moment == "before" else 2)


def test_retry_after_is_waited_for(client, misbehaving):
    task_id = ended(client, misbehaving.url("/status/503?retry-after=120"))
    found = when(client, task_id, "pending")
    assert timedelta(seconds=110) < found.delivery.next_at - datetime.now(UTC) <= timedelta(seconds=121)


def test_a_name_that_leads_where_nothing_may_go_is_blocked(data_directory, misbehaving):
    with (
        ServiceProcess(data_directory, concurrency=1, callback_deny="127.0.0.1 ::1") as service,
        service.client() as client,
    ):
        with pytest.raises(ApiError) as refused:
            client.submit("sleep", {"seconds": 0}, result_url=misbehaving.url("/status/204"))
        assert refused.value.errors[0].pointer == "/result_url"
        assert "denied by TASKPOST_CALLBACK_DENY" in refused.value.errors[0].detail
        task_id = ended(client, misbehaving.url("/status/204", "localhost"))
        found = when(client, task_id, "blocked")
        assert "denied by TASKPOST_CALLBACK_DENY" in found.delivery.last_error
        client.redeliver(task_id)
        eventually(lambda: len(client.deliveries(task_id).tries) == 2)
        assert [made.by for made in when(client, task_id, "blocked").tries] == ["runner", "service"]
        assert misbehaving.connections == 0
        assert [dead.delivery.status for dead in client.list_deliveries("dead")] == ["blocked"]


OWN_SPELLINGS = ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"]


def test_a_callback_to_the_service_itself_is_refused_in_every_spelling(service):
    """A chain of tasks whose callbacks ask for each other's callbacks again would make n*n/2 of them."""
    port = service.url.rpartition(":")[2]
    with service.client() as client, Misbehaving() as receiver:
        first = ended(client, receiver.url("/status/204"))
        when(client, first, "delivered")
        for host in OWN_SPELLINGS:
            with pytest.raises(ApiError) as refused:
                ended(client, f"http://{host}:{port}/api/tasks/{first}/redeliver")
            assert refused.value.errors[0].pointer == "/result_url"
            assert "Taskpost itself" in refused.value.errors[0].detail
        by_name = ended(client, f"http://localhost:{port}/api/tasks/{first}/redeliver")
        assert "Taskpost itself" in when(client, by_name, "blocked").delivery.last_error
        client.redeliver(by_name)
        eventually(lambda: len(client.deliveries(by_name).tries) == 2)
        assert [made.by for made in when(client, by_name, "blocked").tries] == ["runner", "service"]
        assert len(client.deliveries(first).tries) == 1
        assert len(receiver.received) == 1


def test_a_service_on_all_addresses_is_refused_at_each_and_calls_no_loopback(data_directory):
    with ServiceProcess(data_directory, bind="0.0.0.0:0", concurrency=1) as service, service.client() as client:
        port = service.url.rpartition(":")[2]
        own = next(
            (row.address for rows in psutil.net_if_addrs().values() for row in rows
             if row.family is socket.AF_INET and not row.address.startswith("127.")), None
        )  # fmt: skip
        for host, words in (
            (own, "Taskpost itself"),
            ("127.0.0.1", "Taskpost itself"),
            ("127.0.0.1:1", "this machine"),
        ):
            if host is None:
                continue
            url = f"http://{host}/" if ":" in host else f"http://{host}:{port}/api/tasks"
            with pytest.raises(ApiError) as refused:
                client.submit("sleep", {"seconds": 0}, result_url=url)
            assert words in refused.value.errors[0].detail


def test_answers_of_private_addresses_are_left_out_where_that_is_set(data_directory, misbehaving):
    with (
        ServiceProcess(
            data_directory, concurrency=1, callback_retry_seconds="0.1", callback_keep_answers="public"
        ) as service,
        service.client() as client,
    ):
        for path, status, attempts in (
            ("/status/500?body=s3cret", "dead", 2),
            ("/close", "dead", 2),
            ("/status/410?body=s3cret", "dead", 1),
            ("/then/418/200?body=s3cret", "delivered", 2),
            ("/status/200?body=s3cret", "delivered", 1),
        ):
            task_id = ended(client, misbehaving.url(path))
            found = when(client, task_id, status)
            assert found.delivery.attempts == attempts
            assert found.last_answer is None
            for made in found.tries:
                assert (made.http_status, made.duration_seconds) == (None, None)
                assert made.error in {
                    None,
                    "not delivered; the cause is not shown (TASKPOST_CALLBACK_KEEP_ANSWERS)",
                }
            document = client.deliveries(task_id)
            assert "s3cret" not in str(document)
        refused = ended(client, "http://127.0.0.1:1/")
        errors = {made.error for made in when(client, refused, "dead").tries}
        assert errors == {"not delivered; the cause is not shown (TASKPOST_CALLBACK_KEEP_ANSWERS)"}
        assert "the receiver answered 500" in service.log(), "the operator sees it in the log"


@contextmanager
def forwarding(port):
    """Another address that leads to a port of this machine, as an ingress or a published port does."""

    async def serve(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    async def pipe(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def run():
        async with serving(serve) as address:
            found.put(address)
            await ended.wait()

    found, ended, loop = queue.Queue(), asyncio.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    yield found.get(timeout=10)
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)
    loop.close()


def test_a_callback_that_gets_here_by_an_unknown_name_ends_and_changes_nothing(service):
    port = int(service.url.rpartition(":")[2])
    with service.client() as client, Misbehaving() as receiver, forwarding(port) as address:
        first = ended(client, receiver.url("/status/204"))
        when(client, first, "delivered")
        for path in (f"/api/tasks/{first}/redeliver", "/api/deliveries/redeliver", "/api/tasks"):
            found = when(client, ended(client, f"http://{address}{path}"), "dead")
            assert [made.http_status for made in found.tries] == [410]
            assert "own_callback" in found.last_answer
        assert len(client.deliveries(first).tries) == 1
        assert len(receiver.received) == 1
