"""The verbs of the service as a newcomer runs them: what they print, and how they end."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.commands import serve as serve_command
from api.commands import setting_options
from api.executors.kubernetes.client import Access, Cluster, ClusterUnusable
from api.settings import Settings
from runner.connect import connect
from tests.support.service import ServiceProcess, runners_of

TASKPOST = Path(sys.executable).with_name("taskpost")


def run(*arguments):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}
    return subprocess.run(
        [TASKPOST, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=clean,
    )


def test_demo_shows_three_verified_callbacks_and_leaves_nothing():
    ended = run("demo")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("signature valid") == 3
    for task_type in ("fibonacci", "prime_numbers", "sleep"):
        assert f"{task_type}: done" in ended.stdout
    (directory,) = re.findall(r"its data in (\S+)", ended.stdout)
    assert not Path(directory).exists()
    assert runners_of(Path(directory)) == []


def test_serve_says_in_three_lines_where_it_is(data_directory):
    with ServiceProcess(data_directory) as service:
        service.process.send_signal(signal.SIGTERM)
        lines = service.process.stdout.read().splitlines()
    assert lines == [
        f"Its data is in {data_directory} (an embedded Valkey)",
        "Callbacks to loopback addresses (127.0.0.0/8, ::1) are allowed",
        "Taskpost stops: no task is running. Tasks that wait run when Taskpost starts again.",
    ]


def test_every_setting_is_an_option_too():
    helped = run("serve", "--help").stdout
    for words in ("--bind VALUE", "[TASKPOST_BIND]", "--port NUMBER", "--data-dir VALUE", "--callback-allow-loopback"):
        assert words in helped


def test_the_options_of_serve_are_in_groups_with_choices_and_defaults():
    helped = run("serve", "--help").stdout
    plain = " ".join(helped.split())
    headings = re.findall(r"^([A-Z][^:\n]*):$", helped, re.MULTILINE)
    assert headings == ["Options", *setting_options.GROUPS.values()]
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in helped
        assert f"[TASKPOST_{name.upper()}]" in plain
        assert " ".join((field.description or "").split()) in plain
    for words in (
        *("[debug|info|warning|error]", "[json|text]", "[all|public|none]", "[true|false]", "[local|kubernetes]"),
        *("[default: 127.0.0.1:8000]", "[default: text]", "[default: 604800]", "[default: 5, 30, 120, 600, 1800,"),
    ):
        assert words in plain
    assert "[default: none]" not in plain.lower()
    assert all(len(line) <= 80 for line in helped.splitlines())
    assert helped.index("Callbacks:") < helped.index("--signing-keys ")
    assert helped.index("Address and log:") < helped.index("--bind ") < helped.index("Redis and data:")


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (["--redis-url", "redis://127.0.0.1/abc"], 2, "the path of the address is the number of a database"),
        (["--concurrency", "none"], 2, "--concurrency is 'none': Expected a whole number from 1 to 10000"),
        (["--executor", "kubernetes"], 2, "--executor is 'kubernetes': that needs TASKPOST_REDIS_URL,"),
        (["--redis-url", "ftp://x"], 2, "--redis-url is (not shown): the scheme is not one of"),
        (["--task-modules", "no.such"], 2, "--task-modules: task module 'no.such' cannot be imported"),
        (
            ["--type-concurrency", "nope=1"],
            2,
            "--type-concurrency names nope; the task types here are",
        ),
        (["--signing-keys", "hush"], 2, "--signing-keys is (not shown): a signing key begins with whsec_"),
        (["--signing-keys-file", "/no/such"], 2, "--signing-keys-file cannot be read"),
        (["--bind", "192.0.2.1:80"], 1, "Cannot listen on 192.0.2.1:80"),
        (["--bind", "no-such-host.invalid:80"], 1, "Cannot listen on no-such-host.invalid:80"),
        (["--bind", f"{'a' * 64}.example:80"], 1, "cannot be the name of a host"),
        (["--bind", "..:80"], 1, "cannot be the name of a host"),
    ],
)
def test_what_stops_the_start_is_said_plainly(tmp_path, options, exit_code, words):
    ended = run("serve", "--data-dir", str(tmp_path / "data"), "--bind", "127.0.0.1:0", *options)
    assert ended.returncode == exit_code
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_named_with_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("serve", "--data-dir", str(tmp_path / "data"), "--bind", bind)
    assert ended.returncode == 1
    assert (
        f"Cannot listen on {bind}: another program listens there. Choose another with --bind, --port or" in ended.stderr
    )


def test_a_data_directory_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    ended = run("serve", "--data-dir", str(tmp_path / "file"), "--bind", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "cannot be the data directory" in ended.stderr


def test_ctrl_c_ends_it_in_good_order(data_directory):
    service = ServiceProcess(data_directory, bind="[::1]:0")
    service.start()
    assert service.url.startswith("http://[::1]:")
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(20) == 0
    service.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_leaves_nothing(number):
    demo = subprocess.Popen([TASKPOST, "demo"], stdout=subprocess.PIPE, text=True)
    directory = Path(re.findall(r"its data in (\S+)", demo.stdout.readline())[0])
    demo.send_signal(number)
    demo.communicate(timeout=60)
    assert demo.returncode == 128 + number
    assert not directory.exists()
    assert runners_of(directory) == []


def test_a_demo_that_nobody_reads_leaves_nothing():
    before = set(Path(tempfile.gettempdir()).glob("taskpost-demo-*"))
    with subprocess.Popen([TASKPOST, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        demo.stdout.close()
        said = demo.stderr.read()
    assert (demo.returncode, said) == (0, "")
    assert set(Path(tempfile.gettempdir()).glob("taskpost-demo-*")) <= before


def test_a_terminal_that_closes_ends_a_service_in_good_order(data_directory):
    service = ServiceProcess(data_directory)
    service.start()
    service.process.send_signal(signal.SIGHUP)
    assert service.process.wait(20) == 0
    service.stop()


KUBECONFIG = {
    "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:6443"}}],
    "users": [{"name": "x", "user": {"token": "t"}}],
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "current-context": "x",
}


def with_cluster(**cluster):
    return json.dumps(KUBECONFIG | {"clusters": [{"name": "x", "cluster": cluster}]}).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[1, 2]",
        b"a: [",
        b"\xff\xfe\x00",
        json.dumps(KUBECONFIG | {"current-context": "y"}).encode(),
        with_cluster(server="not a url"),
        with_cluster(server="https://127.0.0.1:99999"),
        with_cluster(server=5),
        with_cluster(**{"server": "https://127.0.0.1", "certificate-authority-data": "!!!"}),
        with_cluster(**{"server": "https://127.0.0.1", "certificate-authority": "/no/such"}),
        json.dumps(
            KUBECONFIG
            | {"users": [{"name": "x", "user": {"client-certificate-data": "eA==", "client-key-data": "eA=="}}]}
        ).encode(),
    ],
)
async def test_a_cluster_that_cannot_be_used_is_said_plainly(tmp_path, text):
    path = tmp_path / "kubeconfig"
    path.write_bytes(text)
    cluster = Cluster(Access("space", path))
    with pytest.raises(ClusterUnusable):
        await cluster.open()
    await cluster.close()


def test_a_service_with_such_a_cluster_ends_with_the_reason(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_bytes(b"[1, 2]")
    needed = ("--redis-url", "redis://127.0.0.1:1", "--runner-image", "x", "--runner-secret", "s")
    options = ("--executor", "kubernetes", *needed, "--kubeconfig", str(path))
    ended = run("serve", "--data-dir", str(tmp_path / "data"), "--bind", "127.0.0.1:0", *options)
    assert ended.returncode == 2
    assert f"--executor is 'kubernetes': {path} cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (("+@all", "-info"), "Redis does not allow INFO, which identifies the kind of server: give the user +info"),
        (("+@all", "-@scripting"), "the scripts that Taskpost consists of"),
        (("+@all", "-set"), "the scripts that Taskpost consists of"),
        (("+ping",), "INFO, which identifies"),
    ],
)
def test_a_redis_user_who_may_not_do_what_is_needed_is_said_plainly(data_directory, own_valkey, rules, words):
    with connect(own_valkey.url) as admin:
        admin.acl_setuser("limited", enabled=True, passwords=["+hush"], keys=["*"], channels=["*"], reset=True)
        admin.execute_command("ACL", "SETUSER", "limited", *rules)
    service = ServiceProcess(data_directory, redis_url=own_valkey.url.replace("unix://", "unix://limited:hush@"))
    service.start()
    assert service.process.wait(20) == 1
    service.stop()
    assert words in service.log()
    assert "Traceback" not in service.log()
    assert "hush" not in service.log()


@pytest.mark.parametrize(
    "fault",
    [
        PermissionError(errno.EACCES, "Permission denied", "/somewhere"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOSPC, "No space left on device", "/somewhere"),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal not in range(128)"),
    ],
)
def test_an_error_of_the_system_ends_a_start_without_a_traceback(tmp_path, monkeypatch, fault):
    @asynccontextmanager
    async def failing(*_):
        raise fault
        yield

    monkeypatch.setattr("api.app.running_service", failing)
    arguments = ["--data-dir", str(tmp_path / "data"), "--bind", "127.0.0.1:0"]
    ended = CliRunner().invoke(serve_command.serve, arguments)
    assert ended.exit_code == 1
    assert ended.exception is None or isinstance(ended.exception, SystemExit)
    assert f"Taskpost cannot run: {fault}" in ended.output


def test_an_owner_that_cannot_be_read_is_said_plainly(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "owner").write_bytes(b"\xff\n")
    (data / "owner").chmod(0o600)
    ended = run("serve", "--data-dir", str(data), "--bind", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_a_database_that_is_not_there_is_said_plainly(data_directory, own_valkey):
    service = ServiceProcess(data_directory, redis_url=f"{own_valkey.url}?db=99")
    service.start()
    assert service.process.wait(20) == 1
    service.stop()
    assert "Redis refuses us: DB index is out of range" in service.log()
    assert "Traceback" not in service.log()
