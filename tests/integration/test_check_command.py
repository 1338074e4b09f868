"""`taskpost check` and `GET /api/checks` against a service that runs, is not there, or lacks something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.service import ServiceProcess

TASKPOST = Path(sys.executable).with_name("taskpost")


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}


def run(*arguments):
    return subprocess.run(
        [TASKPOST, "check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=clean_environment(),
    )


def test_a_service_is_checked_from_redis_to_the_callback(service):
    told = run("--url", service.url)
    assert (told.returncode, [line.split()[:2] for line in told.stdout.splitlines()]) == (
        0,
        [["ok", name] for name in ("service", "redis", "leader", "processes", "task", "egress")],
    ), told
    assert "arrived, signed" in told.stdout
    with service.client() as client:
        (task,) = client.list()
        assert (task.task_type, task.task_status) == ("sleep", "done")


def test_a_service_is_waited_for_from_before_it_listens(data_directory):
    with ServiceProcess(data_directory) as service:
        url = service.url
    checking = subprocess.Popen(
        [TASKPOST, "check", "--wait=60s", "--url", url, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    assert checking.stderr.readline().startswith("Waiting for service: No Taskpost service answers at ")
    with ServiceProcess(data_directory, bind=url.removeprefix("http://")):
        out, _ = checking.communicate(timeout=80)
    told = json.loads(out)
    assert (checking.returncode, told["ok"]) == (0, True), told


def test_a_redis_that_is_away_is_named_without_its_address(data_directory):
    with ServiceProcess(data_directory, redis_url="redis://user:hush@127.0.0.1:1") as service:
        told = run("--url", service.url)
        assert told.returncode == 1
        lines = [line.split()[:2] for line in told.stdout.splitlines()]
        assert lines[:3] == [["ok", "service"], ["failed", "redis"], ["failed", "leader"]]
        assert "127.0.0.1:1 " not in told.stdout
        assert "hush" not in told.stdout
        waited = run("--url", service.url, "--wait", "5s")
        assert waited.stderr.startswith("Waiting for redis: Redis does not answer")


def test_a_service_that_does_not_lead_says_who_does(data_directory, own_valkey, tmp_path):
    with (
        ServiceProcess(data_directory, redis_url=own_valkey.url) as first,
        ServiceProcess(tmp_path / "other", redis_url=own_valkey.url) as second,
    ):
        assert run("--url", first.url, "--wait", "30s").returncode == 0
        messages = {}
        for service in (first, second):
            found = httpx.get(f"{service.url}/api/checks").json()["checks"]
            messages[service] = next(one["message"] for one in found if one["name"] == "leader")
        assert {message.partition(" (")[0] for message in messages.values()} == {
            "this service leads",
            "another service leads",
        }
        first.process.send_signal(signal.SIGTERM)
        first.process.wait(30)
        assert run("--url", second.url, "--wait", "30s").returncode == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_answer_is_not_kept_by_anybody(service, method):
    answer = httpx.request(method, f"{service.url}/api/checks")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert httpx.post(f"{service.url}/api/checks").status_code == 405


def test_a_receiver_that_is_not_there_fails_the_check(service):
    told = run("--url", service.url, "--result-url", "http://127.0.0.1:1/", "--wait", "30s")
    assert told.returncode == 1
    assert "Waiting for egress: the callback to http://127.0.0.1:1/ is " in told.stderr
    assert told.stdout.splitlines()[-1].split()[:2] == ["failed", "egress"]
