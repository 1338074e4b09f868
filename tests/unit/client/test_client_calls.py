"""The library's calls, over real HTTP."""

from __future__ import annotations

import importlib.util
import json
import pickle
from datetime import UTC, datetime

import pytest
import taskpost
from taskpost import (
    ApiError,
    Client,
    Conflict,
    FieldError,
    InvalidTask,
    InvalidUrl,
    NotFound,
    Reason,
    UnexpectedAnswer,
    Unreachable,
)

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, outcome, problem, summary, task

ACCEPTED = Reply(202, {"task": task(), "queue_position": 1})


def test_submit_sends_an_explicit_null_and_leaves_out_what_was_not_given(service: Service, client: Client) -> None:
    service.on("POST", "/api/tasks", ACCEPTED)

    submitted = client.submit("fibonacci", {"n": 10})

    assert service.asked[0].json == {"result_url": None, "task_type": "fibonacci", "task_input": {"n": 10}}
    assert service.asked[0].headers["Content-Type"] == "application/json"
    assert submitted.task.task_id == TASK_ID
    assert submitted.queue_position == 1
    assert submitted.raw["queue_position"] == 1


def test_submit_sends_what_was_given(service: Service, client: Client) -> None:
    service.on("POST", "/api/tasks", ACCEPTED)

    client.submit("sleep", {}, result_url="http://here/", priority=-5, timeout_seconds=2.5, idempotency_key="the-key")

    assert service.asked[0].json == {
        "result_url": "http://here/",
        "task_type": "sleep",
        "task_input": {},
        "priority": -5,
        "timeout_seconds": 2.5,
    }
    assert service.asked[0].headers["Idempotency-Key"] == "the-key"


@pytest.mark.parametrize(
    "fault",
    [
        Reply(drop=True),
        problem(503, "redis_unavailable", "Redis is away.", {"Retry-After": "0"}),
        problem(503, "redis_unavailable", "Redis is away."),
        Reply(502, b"<html>bad gateway</html>"),
    ],
)
def test_submit_repeats_with_one_key_of_its_own(fault: Reply, service: Service, client: Client) -> None:
    service.on("POST", "/api/tasks", fault, fault, ACCEPTED)

    client.submit("sleep")

    keys = [asked.headers["Idempotency-Key"] for asked in service.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len({asked.body for asked in service.asked}) == 1


def test_two_submits_have_two_keys(service: Service, client: Client) -> None:
    service.on("POST", "/api/tasks", ACCEPTED)

    client.submit("sleep")
    client.submit("sleep")

    assert service.asked[0].headers["Idempotency-Key"] != service.asked[1].headers["Idempotency-Key"]


def test_submit_gives_up_after_a_few_tries(service: Service, client: Client) -> None:
    service.on("POST", "/api/tasks", problem(503, "redis_unavailable", "Redis is away."))

    with pytest.raises(ApiError) as raised:
        client.submit("sleep")

    assert (raised.value.status, raised.value.code, raised.value.detail) == (503, "redis_unavailable", "Redis is away.")
    assert len(service.asked) == 3


def test_submit_leaves_a_long_retry_after_to_the_caller(service: Service, client: Client) -> None:
    service.on("POST", "/api/tasks", problem(503, "redis_unavailable", "Redis is away.", {"Retry-After": "30"}))

    with pytest.raises(ApiError) as raised:
        client.submit("sleep")

    assert raised.value.retry_after_seconds == 30
    assert len(service.asked) == 1


def test_a_refused_task_says_where_and_is_not_repeated(service: Service, client: Client) -> None:
    errors = [{"pointer": "/task_input/n", "detail": "-1 is less than 0"}, "from a newer service"]
    service.on("POST", "/api/tasks", problem(400, "invalid_task", "The task is not valid.", errors=errors))

    with pytest.raises(InvalidTask) as raised:
        client.submit("fibonacci", {"n": -1})

    assert raised.value.errors == (FieldError("/task_input/n", "-1 is less than 0"),)
    assert str(raised.value) == "The task is not valid.\n  /task_input/n: -1 is less than 0"
    assert len(service.asked) == 1


def test_what_is_not_json_is_never_sent(service: Service, client: Client) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        client.submit("sleep", {"seconds": float("nan")})
    with pytest.raises(ValueError, match="An idempotency key is"):
        client.submit("sleep", idempotency_key="a b")

    assert service.asked == []


def test_get_reads_every_field_and_keeps_the_unknown(service: Service, client: Client) -> None:
    document = task(
        "failed",
        task_percent_done=42.5,
        error={"code": "timed_out", "message": "It took too long."},
        waiting_reason={"code": "unschedulable"},
        delivery={"status": "pending", "attempts": 2, "next_at": "2026-01-02T03:04:10Z", "last_error": "500"},
        result_url="http://here/",
        newer="field",
    )
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(body=document))

    found = client.get(TASK_ID)

    assert (found.task_status, found.task_percent_done, found.attempt, found.ended) == ("failed", 42.5, 1, True)
    assert found.created_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert found.error == Reason("timed_out", "It took too long.")
    assert str(found.error) == "It took too long. (timed_out)"
    assert found.waiting_reason == Reason("unschedulable", "")
    assert found.delivery.next_at == datetime(2026, 1, 2, 3, 4, 10, tzinfo=UTC)
    assert found.raw["newer"] == "field"


def test_get_needs_no_more_than_three_fields(service: Service, client: Client) -> None:
    service.on(
        "GET", f"/api/tasks/{TASK_ID}", Reply(body={"task_id": TASK_ID, "task_type": "sleep", "task_status": "paused"})
    )

    found = client.get(TASK_ID)

    assert (found.task_status, found.ended, found.delivery.status, found.created_at) == ("paused", False, "none", None)


@pytest.mark.parametrize(
    "task_id", ["", ".", "..", "../task-types?a=b", f"{TASK_ID}/result", "a\0b", "a" * 100_000, f" {TASK_ID}"]
)
def test_an_id_cannot_lead_elsewhere(task_id: str, service: Service, client: Client) -> None:
    calls = [client.get, client.wait, client.result, client.log, client.cancel, client.deliveries, client.redeliver]
    for call in (*calls, client.give_up_delivery, lambda task_id: client.wait_all([task_id])):
        with pytest.raises(NotFound, match="There is no task ") as raised:
            call(task_id)  # type: ignore[operator]
        assert (raised.value.status, raised.value.code) == (404, "task_not_found")
        assert len(str(raised.value)) < 300

    assert service.asked == []


def test_list_follows_the_pages_when_they_are_asked_for(service: Service, client: Client) -> None:
    service.on(
        "GET",
        "/api/tasks?status=done&task_type=sleep",
        Reply(body=[summary(1), summary(2)], headers={"Link": '<?cursor=c2>; rel="next"'}),
    )
    service.on("GET", "/api/tasks?cursor=c2", Reply(body=[summary(3)]))

    tasks = client.list(status="done", task_type="sleep")

    assert service.asked == []
    assert next(tasks).task_id.endswith("0001")
    assert next(tasks).percent_done == 42.5
    assert len(service.asked) == 1
    assert [task.task_id[-4:] for task in tasks] == ["0003"]
    assert len(service.asked) == 2


@pytest.mark.parametrize("link", ["/prefix/api/tasks?cursor=c2", "tasks?cursor=c2", "?cursor=c2"])
def test_everything_works_behind_a_path_prefix(link: str, service: Service) -> None:
    service.on("GET", "/prefix/api/tasks", Reply(body=[summary(1)], headers={"Link": f'<{link}>; rel="next"'}))
    service.on("GET", "/prefix/api/tasks?cursor=c2", Reply(body=[summary(2)]))
    service.on("GET", f"/prefix/api/tasks/{TASK_ID}", Reply(body=task()))

    for url in (service.url + "/prefix", service.url + "/prefix/"):
        with Client(url) as client:
            assert len(list(client.list())) == 2
            assert client.get(TASK_ID).task_id == TASK_ID


@pytest.mark.parametrize(("limit", "page"), [(1, 1), (2, 2), (5000, 1000)])
def test_list_reads_no_more_than_its_limit(limit: int, page: int, service: Service, client: Client) -> None:
    rows = [summary(1), summary(2)]
    service.on("GET", f"/api/tasks?limit={page}", Reply(body=rows, headers={"Link": '<?cursor=end>; rel="next"'}))
    service.on("GET", "/api/tasks?cursor=end", Reply(body=[]))

    assert len(list(client.list(limit=limit))) == min(limit, 2)
    assert len(service.asked) == (2 if limit > 2 else 1)


def test_cancel(service: Service, client: Client) -> None:
    service.on(
        "DELETE",
        f"/api/tasks/{TASK_ID}",
        Reply(body=task("cancelled")),
        problem(409, "task_ended", "The task is done."),
    )

    assert client.cancel(TASK_ID).task_status == "cancelled"
    with pytest.raises(Conflict, match="The task is done"):
        client.cancel(TASK_ID)


def test_result_keeps_the_bytes(service: Service, client: Client) -> None:
    body = outcome(result={"value": "55"})
    service.on("GET", f"/api/tasks/{TASK_ID}/result", Reply(body=body), problem(410, "gone", "It is gone."))

    result = client.result(TASK_ID)

    assert result.body == body
    assert (result.status, result.result, result.error, result.attempt) == ("done", {"value": "55"}, None, 1)
    assert result.started_at is None
    assert result.finished_at == datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    with pytest.raises(ApiError) as raised:
        client.result(TASK_ID)
    assert raised.value.status == 410


def test_task_types(service: Service, client: Client) -> None:
    full = {"name": "sleep", "description": "Sleeps.", "input_schema": {"type": "object"}, "example": {"seconds": 1}}
    service.on("GET", "/api/task-types", Reply(body=[{**full, "concurrency": 2}, {"name": "bare"}]))

    first, second = client.task_types()

    assert (first.name, first.concurrency, first.example) == ("sleep", 2, {"seconds": 1})
    assert (second.description, second.input_schema, second.max_timeout_seconds) == ("", {}, None)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"3", b"{}", b"null", b"\xff"])
def test_an_answer_of_something_else_is_named(body: bytes, service: Service, client: Client) -> None:
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(body=body))
    service.on("GET", f"/api/tasks/{TASK_ID}/result", Reply(body=body))

    for call in (client.get, client.result):
        with pytest.raises(UnexpectedAnswer, match="not as a Taskpost service does"):
            call(TASK_ID)


@pytest.mark.parametrize("body", [b"{}", b'""', b"null", b"{"])
def test_a_list_that_is_none_is_not_an_empty_one(body: bytes, service: Service, client: Client) -> None:
    for target in ("/api/tasks", "/api/task-types", "/api/deliveries?status=dead"):
        service.on("GET", target, Reply(body=body))

    for call in (client.list, client.task_types, client.list_deliveries):
        with pytest.raises(UnexpectedAnswer, match="not as a Taskpost service does"):
            list(call())


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"[]", b"{}"])
def test_a_problem_that_is_none_still_says_something(body: bytes, service: Service, client: Client) -> None:
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(404, body, {"Retry-After": "Fri, 02 Jan 2026 03:04:05 GMT"}))

    with pytest.raises(NotFound) as raised:
        client.get(TASK_ID)

    assert raised.value.code == "http_404"
    assert raised.value.retry_after_seconds is None
    assert f"{service.url}/api/tasks/{TASK_ID} answered 404 Not Found" in str(raised.value)


def test_a_redirect_says_where_it_leads(service: Service, client: Client) -> None:
    """Most often from http to https, or to a page where people log in."""
    moved = Reply(301, b"", {"Location": "https://user:hush@tasks.example/api/tasks"})
    service.on("GET", f"/api/tasks/{TASK_ID}", moved)

    with pytest.raises(ApiError, match=r"leads to https://user:\*\*\*@tasks\.example/api/tasks, which is not followed"):
        client.get(TASK_ID)


def test_nothing_listens(dead_url: str) -> None:
    with Client(dead_url) as client, pytest.raises(Unreachable) as raised:
        client.submit("sleep")

    assert raised.value.url == dead_url
    assert str(raised.value).startswith(f"No Taskpost service answers at {dead_url} (")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "localhost",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://[::1",
        "http://a:99999",
    ],
)
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidUrl, match="service's URL"):
        Client(url)


def test_the_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client() as client:
        assert client.url == "http://127.0.0.1:8000"
    monkeypatch.setenv("TASKPOST_URL", "http://elsewhere:1/prefix")
    with Client() as client:
        assert client.url == "http://elsewhere:1/prefix"
    monkeypatch.setenv("TASKPOST_URL", "")
    with Client() as client:
        assert client.url == "http://127.0.0.1:8000"


def test_a_proxy_is_not_asked_for_loopback(monkeypatch: pytest.MonkeyPatch, service: Service, dead_url: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", dead_url)
    monkeypatch.setenv("ALL_PROXY", dead_url)
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(body=task()))

    with Client(service.url) as client:
        assert client.get(TASK_ID).task_id == TASK_ID


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(Conflict(409, "task_ended", "It is done.")))

    assert isinstance(error, Conflict)
    assert (error.status, error.detail) == (409, "It is done.")


def test_all_that_is_promised_is_there() -> None:
    assert all(hasattr(taskpost, name) for name in taskpost.__all__)
    assert importlib.util.find_spec("taskpost.receiver") is not None
    assert json.dumps(task())
