"""Every exception that a docstring of the client names is raised, for the reason that it gives, by a real service."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import taskpost
from taskpost import ApiError, Client
from taskpost.receiver import Receiver

from tests.support.reference import promises
from tests.support.service import ServiceProcess, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

NOWHERE = "01a21244-d531-7000-815a-1a04904fa173"
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
TWO = ({"value": 1}, {"value": 2})
LARGE = {"n": 306_000}
BOUNDS = {"result_max_bytes": 64_500, "undelivered_max_bytes_per_receiver": 130_100}
"""Only one such large result may wait for a receiver."""


@dataclass(frozen=True)
class World:
    """A service, and tasks in the states that calls can meet."""

    client: Client
    running: str
    done: str
    dropped: str
    delivered: str
    full_url: str


def case(method: str, error: str, call: Callable[[World], object], status: int | None = None) -> Any:
    name = "-".join(filter(None, (method, error, str(status or ""))))
    return pytest.param(method, error, call, status, id=name)


def client_behind(proxy: str) -> Client:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALL_PROXY", proxy)
        return Client("http://taskpost.example")


CASES = [
    case("Client", "InvalidUrl", lambda _: Client("localhost:8000")),
    case("Client", "EnvironmentInvalidError", lambda _: client_behind("nonsense://proxy:1")),
    case("Client", "ValueError", lambda _: Client(timeout_seconds=0)),
    case("run", "TaskFailedError", lambda world: world.client.run("raises")),
    case("run", "WaitTimeout", lambda world: world.client.run("sleep", {"seconds": 5}, wait_timeout_seconds=0.1)),
    case("run", "InvalidTask", lambda world: world.client.run("fibonacci", {"n": -1})),
    case("run", "ValueError", lambda world: world.client.run("fibonacci", {"n": object()})),
    case("submit", "InvalidTask", lambda world: world.client.submit("no_such_type")),
    case("submit", "Conflict", lambda world: [world.client.submit("echo", n, idempotency_key="k") for n in TWO]),
    case("submit", "ValueError", lambda world: world.client.submit("fibonacci", {"n": object()})),
    case("submit", "ValueError", lambda world: world.client.submit("fibonacci", idempotency_key="two words")),
    case("get", "NotFound", lambda world: world.client.get(NOWHERE)),
    case("get", "NotFound", lambda world: world.client.get("../task-types")),
    case("list", "ValueError", lambda world: world.client.list(limit=-1)),
    case("list", "InvalidTask", lambda world: next(world.client.list(status="runing"))),  # type: ignore[arg-type]
    case("wait", "WaitTimeout", lambda world: world.client.wait(world.running, timeout_seconds=0)),
    case("wait", "NotFound", lambda world: world.client.wait(NOWHERE)),
    case("wait", "ValueError", lambda world: world.client.wait(world.running, timeout_seconds=math.nan)),
    case("wait_all", "WaitTimeout", lambda world: world.client.wait_all([world.running], timeout_seconds=0)),
    case("wait_all", "NotFound", lambda world: world.client.wait_all([world.done, NOWHERE])),
    case("wait_all", "ValueError", lambda world: world.client.wait_all([], timeout_seconds=math.nan)),
    case("cancel", "NotFound", lambda world: world.client.cancel(NOWHERE)),
    case("cancel", "Conflict", lambda world: world.client.cancel(world.done)),
    case("result", "NotFound", lambda world: world.client.result(NOWHERE)),
    case("result", "Conflict", lambda world: world.client.result(world.running)),
    case("result", "ApiError", lambda world: world.client.result(world.dropped), 410),
    case("log", "NotFound", lambda world: world.client.log(NOWHERE)),
    case("deliveries", "NotFound", lambda world: world.client.deliveries(NOWHERE)),
    case("redeliver", "NotFound", lambda world: world.client.redeliver(NOWHERE)),
    case("redeliver", "Conflict", lambda world: world.client.redeliver(world.running)),
    case("redeliver", "Conflict", lambda world: world.client.redeliver(world.done)),
    case("redeliver", "InvalidTask", lambda world: world.client.redeliver(world.delivered, "ftp://example.com")),
    case("redeliver", "ApiError", lambda world: world.client.redeliver(world.dropped), 410),
    case("redeliver", "ApiError", lambda world: world.client.redeliver(world.delivered, world.full_url), 429),
    case("give_up_delivery", "NotFound", lambda world: world.client.give_up_delivery(NOWHERE)),
    case("give_up_delivery", "Conflict", lambda world: world.client.give_up_delivery(world.running)),
    case("give_up_delivery", "Conflict", lambda world: world.client.give_up_delivery(world.done)),
    case("give_up_delivery", "Conflict", lambda world: world.client.give_up_delivery(world.delivered)),
    case("list_deliveries", "ValueError", lambda world: world.client.list_deliveries(limit=-1)),
    case("list_deliveries", "InvalidTask", lambda world: next(world.client.list_deliveries("sent"))),  # type: ignore[arg-type]
    case("redeliver_dead", "InvalidTask", lambda world: world.client.redeliver_dead(finished_from=NAIVE)),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tp")
    with (
        ServiceProcess(directory / "data", concurrency=2, callback_retry_seconds="3600", **BOUNDS) as service,
        Client(service.url) as client,
        Receiver() as receiver,
        Receiver(lambda _: 503) as refuses,
    ):
        running = client.submit("sleep", {"seconds": 3600}).task.task_id
        done = client.run("sleep", {"seconds": 0}).task_id
        delivered = client.run("fibonacci", LARGE, result_url=receiver.url).task_id
        eventually(lambda: client.get(delivered).delivery.status == "delivered")
        dropped, _ = (client.submit("fibonacci", LARGE, result_url=refuses.url).task.task_id for _ in range(2))
        eventually(lambda: client.get(dropped).delivery.status == "dead", of="a result that was dropped")
        yield World(client, running, done, dropped, delivered, refuses.url)


@pytest.mark.parametrize(("method", "error", "call", "status"), CASES)
def test_the_exception_is_raised(world: World, method: str, error: str, call: Any, status: int | None) -> None:
    expected: type[Exception] = ValueError if error == "ValueError" else getattr(taskpost, error)
    with pytest.raises(expected) as raised:
        call(world)
    assert type(raised.value) is expected
    assert str(raised.value)
    if status is not None:
        assert isinstance(raised.value, ApiError)
        assert raised.value.status == status


def test_every_exception_that_is_named_has_a_case() -> None:
    assert {(one.values[0], one.values[1]) for one in CASES} == promises()
