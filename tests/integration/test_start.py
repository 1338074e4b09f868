"""The start of a service: its settings, what is checked before anything runs, what is said of Redis, and its stop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tests.support.service import ServiceProcess, eventually, runners_of

TASKPOST = Path(sys.executable).with_name("taskpost")
NOT_THERE = "redis://127.0.0.1:1"
KEY = "whsec_" + "A" * 44


def run(data, *options, **variables):
    """Run `taskpost serve` with these variables of its own, until it ends by itself."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}
    arguments = ["--data-dir", str(data), "--bind", "127.0.0.1:0", *options]
    return subprocess.run(
        [TASKPOST, "serve", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=clean | variables,
    )


def lines_of(service, event):
    """Return when each line of this event was logged, and the line."""
    found = re.findall(rf"^(\S+Z) \w+ +({event} .*)$", service.log(), re.MULTILINE)
    return [(datetime.fromisoformat(time), line) for time, line in found]


def test_an_unknown_variable_stops_the_start_and_names_the_nearest_right_one(tmp_path):
    ended = run(tmp_path / "data", TASKPOST_CONCURENCY="4", TASKPOST_REDIS="redis://127.0.0.1", TASKPOST_PORT="9000")
    assert ended.returncode == 2
    assert "TASKPOST_CONCURENCY is not a setting of Taskpost; the nearest is TASKPOST_CONCURRENCY" in ended.stderr
    assert "TASKPOST_REDIS is not a setting of Taskpost; the nearest is TASKPOST_REDIS_URL" in ended.stderr
    assert "TASKPOST_PORT is '9000', and is not a setting" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_what_kubernetes_our_clients_and_our_tests_set_stops_no_start(data_directory):
    others = {
        "port": "tcp://10.96.0.7:80", "service_host": "10.96.0.7", "service_port": "80", "service_port_http": "80",
        "port_80_tcp": "tcp://10.96.0.7:80", "port_80_tcp_addr": "10.96.0.7", "port_80_tcp_port": "80",
        "port_80_tcp_proto": "tcp", "valkey_port_6379_tcp_addr": "10.96.0.8", "valkey_service_port_redis": "6379",
        "url": "http://127.0.0.1:8000", "e2e": "1", "cluster_bin": "/bin",
    }  # fmt: skip
    with ServiceProcess(data_directory, **others) as service:
        assert service.stop() == 0


BAD_FILES = {
    "--signing-keys-file": "hush",
    "--callback-ca-file": "no certificate",
    "--callback-certificate-file": "no certificate",
    "--task-types-file": "",  # one that is not there
    "--kubeconfig": "[1, 2]",
    "--pod-file": '{"default": {"image": 5, "imagee": "x"}}',
}
IN_A_CLUSTER = ("--executor", "kubernetes", "--redis-url", NOT_THERE, "--runner-image", "x", "--runner-secret", "s")


@pytest.mark.parametrize("option", BAD_FILES)
def test_a_file_is_checked_before_a_valkey_is_started(tmp_path, option):
    path = tmp_path / "file"
    if BAD_FILES[option]:
        path.write_text(BAD_FILES[option])
    needed = IN_A_CLUSTER if option in {"--kubeconfig", "--pod-file"} else ()
    ended = run(tmp_path / "data", option, str(path), *needed)
    assert ended.returncode == 2
    assert str(path) in ended.stderr
    assert option in ended.stderr or "--executor" in ended.stderr
    for words in ("Traceback", "valkey_", "hush", "pydantic", "Input should"):
        assert words not in ended.stderr
    assert not (tmp_path / "data" / "valkey" / "valkey.log").exists()


def test_what_an_executor_lacks_is_named_before_a_valkey_is_started(tmp_path):
    ended = run(tmp_path / "data", "--runner-image", "", TASKPOST_EXECUTOR="Kubernetes")
    assert ended.returncode == 2
    assert ended.stderr.strip() == (
        "TASKPOST_EXECUTOR is 'kubernetes': "
        "that needs TASKPOST_REDIS_URL, TASKPOST_RUNNER_IMAGE, TASKPOST_RUNNER_SECRET too"
    )
    assert not (tmp_path / "data" / "valkey" / "valkey.log").exists()


def test_the_port_of_the_option_is_listened_on(data_directory):
    with ServiceProcess(data_directory, options=["--port", "0"], bind="127.0.0.1:1") as service:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d{4,5}", service.url)
        with service.client() as client:
            assert list(client.list()) == []


def test_the_level_of_the_log_may_be_in_upper_case(data_directory):
    with ServiceProcess(data_directory, options=["--log-level", "DEBUG"]) as service:
        assert re.search(r"^\S+Z DEBUG ", service.log(), re.MULTILINE)


@pytest.mark.parametrize(
    ("settings", "warned"),
    [({"redis_url": NOT_THERE}, True), ({"redis_url": NOT_THERE, "signing_keys": KEY}, False), ({}, False)],
)
def test_missing_signing_keys_with_an_external_redis_are_a_warning_at_the_start(data_directory, settings, warned):
    with ServiceProcess(data_directory, **settings) as service:
        told = [line for line in service.log().splitlines() if "callbacks_unsigned" in line]
    assert len(told) == warned
    for line in told:
        assert " WARNING " in line
        assert "TASKPOST_SIGNING_KEYS is not set, so receivers cannot check where a callback is from" in line


def test_an_empty_file_of_signing_keys_is_a_warning_too(data_directory, tmp_path):
    file = tmp_path / "keys"
    file.write_text("\n")
    with ServiceProcess(data_directory, redis_url=NOT_THERE, signing_keys_file=file) as service:
        assert f"callbacks_unsigned reason={file} is empty" in service.log()


def test_a_redis_that_is_not_there_is_logged_with_growing_pauses(data_directory):
    with ServiceProcess(data_directory, redis_url=NOT_THERE) as service:
        eventually(lambda: len(lines_of(service, "service_waits_for_redis")) == 3, of="three lines")
        (first, line), (second, _), (third, _) = lines_of(service, "service_waits_for_redis")
        assert "reason=Redis does not answer" in line
        assert (second - first).total_seconds() > 1.9
        assert (third - second).total_seconds() > 3.9
        assert lines_of(service, "duty_waits_for_redis") == []


def test_an_outage_of_redis_is_few_lines_and_its_end_is_one(data_directory, own_valkey):
    with ServiceProcess(data_directory, redis_url=own_valkey.url) as service:
        eventually(lambda: "leadership_taken" in service.log(), of="a leader")
        own_valkey.kill()
        eventually(lambda: len(lines_of(service, "duty_waits_for_redis")) == 3, of="three lines")
        (first, _), _, (third, _) = lines_of(service, "duty_waits_for_redis")
        assert (third - first).total_seconds() > 5.8
        own_valkey.start()
        eventually(lambda: lines_of(service, "redis_answers_again"), of="the end")
        with service.client() as client:
            task_id = client.submit("sleep", {"seconds": 0}).task.task_id
            assert client.wait(task_id).task_status == "done"
        assert len(lines_of(service, "redis_answers_again")) == 1


def test_ctrl_c_says_what_happens_to_running_tasks(data_directory, gate):
    service = ServiceProcess(data_directory, grace_seconds=2, concurrency=2)
    service.start()
    with service.client() as client:
        for task_input in (gate.task_input, gate.another().task_input):
            client.submit("gate", task_input)
    gate.begun()
    eventually(lambda: service.log().count("attempt_started ") == 2, of="two attempts")
    for _ in range(2):
        service.process.send_signal(signal.SIGINT)
    told = service.process.stdout.read()
    assert service.process.wait(20) == 0
    service.stop()
    (last,) = told.splitlines()[2:]
    assert last.startswith(
        "Taskpost stops: it ends 2 running tasks within 2 s and puts them back into the queue. They run"
    )


@pytest.mark.parametrize(
    ("number", "in_background"),
    [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGHUP, False), (signal.SIGTERM, True)],
)
def test_a_service_that_is_stopped_while_it_starts_says_so_and_leaves_no_valkey(data_directory, number, in_background):
    with ServiceProcess(data_directory) as killed:
        killed.kill()
    (valkey,) = runners_of(data_directory)
    valkey.suspend()  # so that the next service waits for its answer
    command = [TASKPOST, "serve", "--data-dir", str(data_directory), "--port", "0"]
    if in_background:  # as a shell starts it there
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as starting:
        process = psutil.Process(starting.pid)
        eventually(lambda: any(one.path.endswith("valkey.lock") for one in process.open_files()))
        starting.send_signal(number)
        valkey.resume()
        out, errors = starting.communicate(timeout=60)
    assert (starting.returncode, out) == (130, "")
    assert errors.endswith("Taskpost stops: it was still starting. Tasks that wait run when Taskpost starts again.\n")
    assert "Traceback" not in errors
    assert runners_of(data_directory) == []


def test_a_service_of_nohup_goes_on_without_its_terminal(data_directory):
    service = ServiceProcess(data_directory)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        service.start()
    finally:
        signal.signal(signal.SIGHUP, before)
    service.process.send_signal(signal.SIGHUP)
    with service.client() as client:
        assert client.wait(client.submit("sleep", {"seconds": 0}).task.task_id).task_status == "done"
    assert service.stop() == 0


def test_nobody_need_hear_it(data_directory):
    service = ServiceProcess(data_directory)
    service.start()
    service.process.stdout.close()
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(20) == 0
    service.stop()
    assert "Traceback" not in service.log()
    assert "BrokenPipe" not in service.log()
