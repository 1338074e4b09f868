"""Callbacks by the library and by the command line, against a scripted service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result
    from taskpost import Client

    Run = Callable[..., Result]

DEAD = {"status": "dead", "attempts": 2, "next_at": None, "last_error": "the receiver answered 410"}
TRIES = [
    {
        "at": "2026-01-02T03:04:06.000Z",
        "duration_seconds": 0.02,
        "by": "runner",
        "http_status": None,
        "error": "refused",
    },
    {
        "at": "2026-01-02T03:04:11.000Z",
        "duration_seconds": 1.5,
        "by": "service",
        "http_status": 410,
        "error": "\x1b[1m",
    },
]
DELIVERIES = DEAD | {"last_answer": "moved\x1b away", "tries": TRIES}
SUMMARY: dict[str, Any] = {
    "task_id": TASK_ID,
    "task_type": "sleep",
    "task_status": "done",
    "finished_at": "2026-01-02T03:04:06.000Z",
    "delivery": DEAD,
    "result_url": "http://here/",
}
TARGET = f"/api/tasks/{TASK_ID}"


@pytest.fixture(autouse=True)
def answers(service: Service) -> None:
    service.on("GET", TARGET + "/deliveries", Reply(body=DELIVERIES))
    service.on("POST", TARGET + "/redeliver", Reply(202, task("done", delivery=DEAD | {"status": "pending"})))
    page = {"Link": f'<?status=dead&cursor={TASK_ID}>; rel="next"'}
    service.on("GET", "/api/deliveries?status=dead", Reply(body=[SUMMARY], headers=page))
    service.on("GET", f"/api/deliveries?status=dead&cursor={TASK_ID}", Reply(body=[]))
    service.on("GET", "/api/deliveries?status=pending&host=here&limit=3", Reply(body=[SUMMARY]))
    counted = (Reply(202, {"redelivered": 100, "cursor": TASK_ID}), Reply(202, {"redelivered": 7, "cursor": None}))
    service.on("POST", "/api/deliveries/redeliver", *counted)


def test_the_tries_of_a_task(client: Client) -> None:
    found = client.deliveries(TASK_ID)
    assert (found.delivery.status, found.last_answer, found.raw) == ("dead", "moved\x1b away", DELIVERIES)
    assert [made.by for made in found.tries] == ["runner", "service"]
    assert found.tries[1].at == datetime(2026, 1, 2, 3, 4, 11, tzinfo=UTC)
    assert found.tries[1].http_status == 410


def test_a_task_s_callback_is_sent_again(client: Client) -> None:
    assert client.redeliver(TASK_ID).delivery.status == "pending"


def test_a_task_s_callback_goes_to_another_url(client: Client, service: Service) -> None:
    client.redeliver(TASK_ID, "http://there/")
    assert service.asked[-1].json == {"result_url": "http://there/"}


def test_a_task_s_callback_is_given_up(client: Client, service: Service) -> None:
    service.on("DELETE", TARGET + "/delivery", Reply(body=task("done", delivery=DEAD)))
    assert client.give_up_delivery(TASK_ID).delivery.status == "dead"


def test_the_list_is_read_page_after_page(client: Client, service: Service) -> None:
    (found,) = client.list_deliveries()
    assert (found.task_id, found.delivery.attempts, found.result_url) == (TASK_ID, 2, "http://here/")
    assert len(service.asked) == 2
    assert len(list(client.list_deliveries("pending", host="here", limit=3))) == 1


def test_dead_ones_are_sent_again_to_the_last(client: Client, service: Service) -> None:
    since = datetime(2026, 1, 2, tzinfo=UTC)
    assert client.redeliver_dead(host="here", finished_from=since) == 107
    first, second = (asked.json for asked in service.asked)
    assert first == {"host": "here", "finished_from": "2026-01-02T00:00:00+00:00"}
    assert second == first | {"cursor": TASK_ID}


def test_deliveries_of_a_task_on_the_command_line(run: Run) -> None:
    told = run("deliveries", TASK_ID).stdout.splitlines()
    assert told[0].split() == ["AT", "SECONDS", "BY", "STATUS", "ERROR"]
    assert told[1].endswith("0.020  runner   -       refused")
    assert told[2].endswith(r"1.500  service  410     \x1b[1m")
    assert told[3:] == ["callback  dead", r"answer    moved\x1b away"]


def test_a_callback_that_is_to_be_made_says_when(run: Run, service: Service) -> None:
    pending = DEAD | {"status": "pending", "next_at": "2026-01-02T03:04:06.000Z", "last_answer": None, "tries": []}
    service.on("GET", TARGET + "/deliveries", Reply(body=pending))
    assert "next try  2026-01-02" in run("deliveries", TASK_ID).stdout


def test_the_list_on_the_command_line(run: Run) -> None:
    told = run("deliveries").stdout.splitlines()
    assert told[0].split() == ["TASK", "STATE", "CALLBACK", "TRIES", "ENDED", "LAST", "ERROR"]
    assert TASK_ID in told[1]
    assert told[1].endswith("the receiver answered 410")
    assert run("deliveries", "--status", "pending", "--host", "here", "--limit", "3", "--json").stdout.startswith("[{")
    assert '"tries"' in run("deliveries", TASK_ID, "--json").stdout


def test_redeliver_on_the_command_line(run: Run, service: Service) -> None:
    assert run("redeliver", TASK_ID).stdout == "callback  pending\n"
    told = run("redeliver", "--dead", "--from", "2026-01-02T00:00:00Z", "--before", "2026-01-03", "--host", "here")
    assert told.stdout == "107 callbacks are sent again\n"
    assert {*service.asked[-1].json} == {"host", "finished_from", "finished_before", "cursor"}


def test_one_callback_that_is_sent_again_is_singular(run: Run, service: Service) -> None:
    service.on("POST", "/api/deliveries/redeliver", Reply(202, {"redelivered": 1, "no_room": 0, "cursor": None}))
    assert run("redeliver", "--dead").stdout == "1 callback is sent again\n"


def test_give_up_and_another_url_on_the_command_line(run: Run, service: Service) -> None:
    service.on("DELETE", TARGET + "/delivery", Reply(body=task("done", delivery=DEAD)))
    assert "callback  dead" in run("deliveries", TASK_ID, "--give-up").stdout
    assert service.targets()[0] == f"DELETE {TARGET}/delivery"
    assert run("redeliver", TASK_ID, "--to", "http://there/").stdout == "callback  pending\n"
    assert service.asked[-1].json == {"result_url": "http://there/"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("redeliver",),
        ("redeliver", TASK_ID, "--dead"),
        ("redeliver", TASK_ID, "--host", "here"),
        ("redeliver", "--dead", "--from", "yesterday"),
        ("redeliver", "--dead", "--before", "9999-12-31T23:59:59-14:00"),
        ("deliveries", TASK_ID, "--host", "here"),
        ("deliveries", "--status", "lost"),
        ("deliveries", "--give-up"),
        ("redeliver", "--dead", "--to", "http://there/"),
    ],
)
def test_wrong_usage_exits_2_and_asks_nothing(run: Run, service: Service, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert service.asked == []
