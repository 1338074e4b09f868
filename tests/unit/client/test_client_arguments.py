"""What a program gives to the client: refused before anything is sent, by the exceptions that the docstrings name."""

from __future__ import annotations

import math
import uuid
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from taskpost import ApiError, Client, InvalidUrl, Result, Task, UnexpectedAnswer

from tests.unit.client.scripted_service import TASK_ID, Reply, problem, summary, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.client.scripted_service import Service

CIRCLE: dict[str, Any] = {"list": [1]}
CIRCLE["list"].append(CIRCLE)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("task_input", "words"),
    [
        ({"n": object()}, "not JSON at /task_input/n: Object of type object is not JSON serializable"),
        ({"a/b": [0, {"~": {1, 2}}]}, "not JSON at /task_input/a~1b/1/~0: Object of type set"),
        ({"at": [1.5, math.inf]}, "not JSON at /task_input/at/1: Out of range float"),
        ({"at": b"bytes"}, "at /task_input/at: Object of type bytes"),
        ({"deep": {("a", "tuple"): 1}}, "at /task_input/deep: keys must be str"),
        (object(), "at /task_input: Object of type object"),
        (CIRCLE, "not JSON: Circular reference detected"),
        (nested(100_000), "is to be sent is not JSON: "),
        ([nested(500), object()], "at /task_input/1: Object of type object"),
        ({"n": 10**5000}, "not JSON: Exceeds the limit"),
    ],
)
def test_an_input_that_is_not_json_is_a_value_error_that_names_the_place(
    task_input: Any, words: str, service: Service, client: Client
) -> None:
    for call in (client.submit, client.run):
        with pytest.raises(ValueError, match="What is to be sent is not JSON") as raised:
            call("sleep", task_input)
        assert words in str(raised.value)
        assert len(str(raised.value)) < 400
    assert service.asked == []


def test_a_large_input_that_is_shared_is_searched_once(client: Client) -> None:
    shared: Any = []
    for _ in range(64):
        shared = [shared, shared]
    with pytest.raises(ValueError, match="at /task_input/first"):
        client.submit("sleep", {"first": object(), "then": shared})


@pytest.mark.parametrize("limit", [-1, -(10**30), 1.5, "3", math.nan, True])
@pytest.mark.parametrize("name", ["list", "list_deliveries"])
def test_a_limit_that_is_none_is_a_value_error_at_once(name: str, limit: Any, service: Service, client: Client) -> None:
    with pytest.raises(ValueError, match=r"limit is .*: expected an integer from 0 on, or None for all"):
        getattr(client, name)(limit=limit)
    assert service.asked == []


@pytest.mark.parametrize(("limit", "asked"), [(0, 0), (10**30, 1), (None, 1)])
def test_a_limit_may_be_nothing_or_more_than_there_is(
    limit: int | None, asked: int, service: Service, client: Client
) -> None:
    for target in ("/api/tasks", "/api/tasks?limit=1000"):
        service.on("GET", target, Reply(body=[summary(1)]))
    assert len(list(client.list(limit=limit))) == asked
    assert len(service.asked) == asked


@pytest.mark.parametrize("seconds", [math.nan, "5", True])
def test_a_time_that_is_not_a_number_is_a_value_error(seconds: Any, service: Service, client: Client) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.wait(TASK_ID, timeout_seconds=seconds),
        lambda: client.wait_all([TASK_ID], timeout_seconds=seconds),
        lambda: client.run("sleep", wait_timeout_seconds=seconds),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"timeout_seconds is .*: expected a number of seconds"):
            call()
    assert service.asked == []


@pytest.mark.parametrize("seconds", [0, -1, math.nan, "5", None, -math.inf, -(10**400)])
def test_a_client_needs_time(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"timeout_seconds is .*: expected a number of seconds"):
        Client("http://127.0.0.1:1", timeout_seconds=seconds)


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256, "line\n", 5, b"bytes"])
def test_an_idempotency_key_has_a_form(key: Any, service: Service, client: Client) -> None:
    with pytest.raises(ValueError, match="An idempotency key is 1 to 255 visible ASCII characters"):
        client.submit("sleep", idempotency_key=key)
    assert service.asked == []


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'"text"', b"{]", b"\xff", b'{"task_id": 1}', b"[" * 100_000]
)
def test_what_is_not_the_body_of_a_callback_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what JSON has to say, or we
        Result.from_body(body)


@pytest.mark.parametrize("body", [b"{}", b"null", b'{"redelivered": 1}', b'{"redelivered": "x", "cursor": null}'])
def test_an_answer_of_something_else_to_redeliver_dead(body: bytes, service: Service, client: Client) -> None:
    service.on("POST", "/api/deliveries/redeliver", Reply(202, body))
    with pytest.raises(UnexpectedAnswer):
        client.redeliver_dead()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
        Reply(body=[], headers={"Link": '<http://[::1>; rel="next"'}),
        Reply(body=b"[" * 100_000),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_of_ours(reply: Reply, service: Service, client: Client) -> None:
    service.on("GET", "/api/tasks", reply)
    with pytest.raises(UnexpectedAnswer):
        list(client.list())


@pytest.mark.parametrize("errors", [5, "text", None, {"a": 1}, [5, None]])
def test_a_problem_with_odd_errors_is_still_one(errors: Any, service: Service, client: Client) -> None:
    service.on("GET", "/api/tasks", problem(400, "invalid_query", "No.", errors=errors))
    with pytest.raises(Exception, match="No") as raised:
        list(client.list())
    assert raised.value.errors == ()  # type: ignore[attr-defined]


def test_any_number_of_seconds_will_do_to_wait(service: Service, client: Client) -> None:
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(body=task("done")))
    for seconds in (None, 0, -1, 0.5, math.inf, 10**400, -(10**400)):
        assert client.wait(TASK_ID, timeout_seconds=seconds).ended


@pytest.mark.parametrize(
    ("status", "asked"), [("done", "done"), (["done", "failed"], "done%2Cfailed"), (("done",), "done")]
)
def test_a_list_may_be_of_several_states(status: Any, asked: str, service: Service, client: Client) -> None:
    service.on("GET", f"/api/tasks?status={asked}", Reply(body=[summary(1)]))
    assert len(list(client.list(status=status))) == 1


@pytest.mark.parametrize("seconds", [math.inf, 1e30, 10**400])
def test_a_client_may_have_any_time(seconds: float, service: Service) -> None:
    service.on("GET", f"/api/tasks/{TASK_ID}", Reply(body=task("done")))
    with Client(service.url, timeout_seconds=seconds) as patient:
        assert patient.get(TASK_ID).ended


@pytest.mark.parametrize(
    "task_id",
    [None, 5, b"bytes", uuid.UUID(TASK_ID), Task.from_json(task()), [TASK_ID]],
    ids=lambda one: type(one).__name__,
)
def test_what_is_not_an_id_is_a_value_error(task_id: Any, service: Service, client: Client) -> None:
    calls: list[Any] = [client.get, client.wait, client.cancel, client.result, client.log, client.deliveries]
    for call in [*calls, client.redeliver, client.give_up_delivery, lambda one: client.wait_all([one])]:
        with pytest.raises(ValueError, match=r"task_id is .*: expected the id of a task, which is a string"):
            call(task_id)
    assert service.asked == []


@pytest.mark.parametrize("task_ids", [TASK_ID, None, 5])
def test_ids_are_more_than_one_string(task_ids: Any, service: Service, client: Client) -> None:
    with pytest.raises(ValueError, match=r"task_ids is .*: expected the ids of tasks, for example in a list"):
        client.wait_all(task_ids)
    assert service.asked == []


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("list", {"status": 5}, "status is 5: expected a state, or several"),
        ("list", {"status": [None, "done"]}, "status is "),
        ("list", {"status": b"done"}, "status is b'done'"),
        ("list", {"task_type": ["sleep"]}, r"task_type is \['sleep'\]: expected a string"),
        ("list_deliveries", {"status": 5}, "status is 5"),
        ("list_deliveries", {"host": 5}, "host is 5"),
        ("redeliver_dead", {"finished_from": 0}, "finished_from is 0: expected a datetime with a time zone"),
        ("redeliver_dead", {"finished_before": "2026-01-01"}, "finished_before is '2026-01-01'"),
        ("redeliver_dead", {"finished_before": date(2026, 1, 1)}, "finished_before is datetime.date"),
    ],
)
def test_a_filter_of_a_wrong_kind_is_a_value_error(
    method: str, arguments: Any, words: str, service: Service, client: Client
) -> None:
    with pytest.raises(ValueError, match=words):
        getattr(client, method)(**arguments)
    assert service.asked == []


def test_a_state_that_is_given_often_is_asked_for_once(service: Service, client: Client) -> None:
    service.on("GET", "/api/tasks?status=done%2Cfailed", Reply(body=[]))
    assert list(client.list(status=["done", "failed"] * 10_000)) == []


def test_an_argument_may_be_too_long_for_a_url(service: Service, client: Client) -> None:
    with pytest.raises(ApiError, match="too long to be sent") as raised:
        next(client.list(task_type="x" * 1_000_000))
    assert (raised.value.status, raised.value.code) == (431, "head_too_large")
    assert service.asked == []


@pytest.mark.parametrize("url", [5, b"http://127.0.0.1:1", "http://127.0.0.1:1/?a=b"])
def test_what_cannot_be_the_url_of_a_service(url: Any) -> None:
    with pytest.raises(InvalidUrl):
        Client(url)


def test_a_priority_of_a_wrong_kind_is_not_taken_for_none(service: Service, client: Client) -> None:
    for wrong in ("", [], {}):
        with pytest.raises(ApiError):
            client.submit("sleep", priority=wrong)  # type: ignore[arg-type]
        assert service.asked[-1].json["priority"] == wrong


def test_a_client_that_is_closed_says_so(service: Service) -> None:
    client = Client(service.url)
    client.close()
    client.close()
    for call in (client.get, client.wait):
        with pytest.raises(ValueError, match="this Client is closed"):
            call(TASK_ID)
