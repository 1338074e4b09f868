"""What `helm test` runs, against a service that is real: it is green when all works, and says what does not."""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path

import pytest

from api.commands import chart_test
from tests.support.service import ServiceProcess

PHASE = re.compile(r"^(accepted|started|ran|delivered|in all) +(\d+\.\d{3}) s  ", re.MULTILINE)


@pytest.fixture(scope="module")
def directory():
    with tempfile.TemporaryDirectory(prefix="tp-data-") as path:
        yield Path(path) / "data"


@pytest.fixture(scope="module")
def service(directory):
    with ServiceProcess(directory, concurrency=2) as running:
        yield running


def run(capsys, url, keys, *options):
    place = (f"--url={url}", "--address=127.0.0.1", "--listen-port=0", f"--signing-keys-file={keys}")
    return chart_test.main([*place, *options]), capsys.readouterr().out


def test_it_prints_the_seconds_of_each_phase(service, directory, capsys):
    code, told = run(capsys, service.url, directory / "signing-keys")
    assert code == 0, told
    phases = {name: float(seconds) for name, seconds in PHASE.findall(told)}
    assert list(phases) == ["accepted", "started", "ran", "delivered", "in all"]
    assert phases["ran"] >= 1
    assert phases["in all"] >= phases["ran"]
    assert sum(phases.values()) - phases["in all"] == pytest.approx(phases["in all"], abs=0.1)
    assert "its signature is valid" in told


def test_a_signature_by_another_key_is_a_failure(service, tmp_path, capsys):
    other = tmp_path / "signing-keys"
    other.write_text(f"whsec_{base64.b64encode(bytes(32)).decode()}\n")
    code, told = run(capsys, service.url, other)
    assert code == 1
    assert "FAILED: the signature of the callback is not valid" in told


def test_without_keys_it_says_that_callbacks_are_not_signed(service, tmp_path, capsys):
    none = tmp_path / "signing-keys"
    none.write_text("\n")
    code, told = run(capsys, service.url, none)
    assert code == 0
    assert "WITHOUT A SIGNATURE" in told


def test_a_callback_may_be_left_out_and_the_reason_is_told(service, directory, capsys):
    code, told = run(capsys, service.url, directory / "signing-keys", "--without-callback=a proxy")
    assert code == 0
    assert "no callback was asked for: a proxy" in told
    assert [name for name, _ in PHASE.findall(told)] == ["accepted", "started", "ran"]


def test_where_callbacks_may_not_go_to_the_test_it_says_so_and_tests_the_rest(data_directory, capsys):
    with ServiceProcess(data_directory, concurrency=1, callback_allow="192.0.2.0/24") as service:
        code, told = run(capsys, service.url, data_directory / "signing-keys")
    assert code == 0, told
    assert re.search(r"no callback was asked for: http://127\.0\.0\.1:\d+ is refused \(.+\)", told)


def test_a_task_that_does_not_begin_is_a_failure_that_says_what_it_waits_for(data_directory, capsys):
    with ServiceProcess(data_directory, concurrency=1, grace_seconds=1) as service, service.client() as client:
        client.submit("sleep", {"seconds": 60})
        keys = data_directory / "signing-keys"
        code, told = run(capsys, service.url, keys, "--timeout-seconds=1")
        assert code == 1
        assert "FAILED: no callback came: the task is queued" in told
        code, told = run(capsys, service.url, keys, "--timeout-seconds=1", "--without-callback=none")
        assert code == 1
        assert "FAILED: the task did not end in time: the task is queued" in told


def test_a_service_that_does_not_answer_is_a_failure(directory, service, capsys, monkeypatch):
    monkeypatch.setattr(chart_test, "START_SECONDS", 0.2)
    code, told = run(capsys, "http://127.0.0.1:1", directory / "signing-keys")
    assert code == 1
    assert "FAILED: No Taskpost service answers at http://127.0.0.1:1" in told


def test_a_file_of_keys_that_is_missing_is_a_failure(service, capsys):
    code, told = run(capsys, service.url, Path("/nowhere/signing-keys"))
    assert code == 1
    assert "FAILED: " in told and "/nowhere/signing-keys" in told


def test_only_what_knows_the_path_is_received():
    import http.client

    from api.commands.callback_server import CallbackServer

    with CallbackServer("127.0.0.1", 0) as server:
        host, _, path = server.url.removeprefix("http://").partition("/")
        for target, body, status in (("/", b"{}", 404), (f"/{path}", b"{}", 204), (f"/{path}x", b"{}", 404)):
            connection = http.client.HTTPConnection(host, timeout=5)
            connection.request("POST", target, body)
            assert connection.getresponse().status == status
            connection.close()
        assert server.received.get(timeout=5).body == b"{}"
        assert server.received.empty()
