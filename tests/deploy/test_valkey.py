"""The bundled Valkey as it is configured, against a client that has its address and no password."""

from __future__ import annotations

import asyncio
import re
import resource
import shlex
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import redis

from api.queue import guard
from api.queue.guard import Guard
from runner.connect import connect, connect_async
from runner.contract import key_prefix
from tests.deploy.rendering import ROOT, of_kind, parse, the
from tests.support.service import eventually
from tests.support.valkey import ValkeyServer
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024
PING_HEAD = b"*2\r\n$4\r\nPING\r\n$10485760\r\n"
PLACES = {"bind", "port", "dir", "aclfile"}
"""Options that say where things are: they are the test's own."""


class BundledValkey:
    """A server with the options and users of the manifests, on a port of 127.0.0.1."""

    def __init__(self, directory: Path, **options: str) -> None:
        self.config = the("ConfigMap", "taskpost-valkey", parse(manifest("valkey.yaml")))["data"]["valkey.conf"]
        secrets = parse(subprocess.run(["sh", MANIFESTS / "secrets.sh"], capture_output=True, check=True).stdout)
        self._secret = the("Secret", "taskpost-redis", secrets)["stringData"]
        (directory / "users.acl").write_text(self._secret["users.acl"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()
        lines = [shlex.split(line, comments=True) for line in self.config.splitlines()]
        words = [["--" + name, *values] for name, *values in filter(None, lines) if name not in PLACES]
        own = ["--bind", self.address[0], "--port", str(self.address[1]), "--aclfile", str(directory / "users.acl")]
        changed = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        self.server = ValkeyServer(*[word for line in words for word in line], *own, *changed)

    def url(self, user: str) -> str:
        password = self._secret["password" if user == "taskpost" else "runner-password"]
        return f"redis://{user}:{password}@{self.address[0]}:{self.address[1]}/0"

    def open(self) -> socket.socket:
        opened = socket.create_connection(self.address, timeout=20)
        opened.settimeout(20)
        return opened

    def most_memory_bytes(self) -> int:
        """The most memory that it has ever had."""
        status = (PROC / str(self.server.pid) / "status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


MANIFESTS = ROOT / "manifests"
PROC = MANIFESTS.__class__("/proc")


def manifest(name: str) -> str:
    return (MANIFESTS / "base" / name).read_text()


@pytest.fixture
def descriptors() -> Iterator[int]:
    """As many descriptors as there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def bundled(tmp_path: Path, descriptors: int) -> Iterator[BundledValkey]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not in PATH")
    valkey = BundledValkey(tmp_path)
    with valkey.server:
        yield valkey


def keeps_no_connection_open(*sockets: socket.socket) -> bool:
    return not any(_is_open(one) for one in sockets)


def _is_open(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return bool(one.recv(MIB))
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_a_client_without_a_password_cannot_make_it_hold_its_replies(bundled: BundledValkey) -> None:
    before = bundled.most_memory_bytes()
    message = b"*2\r\n$4\r\nPING\r\n$%d\r\n%s\r\n" % (MIB, b"x" * MIB)
    with bundled.open() as stranger, pytest.raises(ConnectionError):
        stranger.sendall(message * 300)
    assert bundled.most_memory_bytes() - before < 32 * MIB


def test_a_client_without_a_password_may_do_nothing(bundled: BundledValkey) -> None:
    with bundled.open() as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_ten_thousand_idle_connections_lock_nobody_out(bundled: BundledValkey, descriptors: int) -> None:
    if descriptors < 12_000:
        pytest.skip(f"only {descriptors} files may be open here")
    idle = [bundled.open() for _ in range(10_000)]
    try:
        for user in ("taskpost", "runner"):
            with connect(bundled.url(user)) as client:
                assert client.ping()
        assert bundled.most_memory_bytes() < 150 * MIB
    finally:
        for one in idle:
            one.close()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


@pytest.mark.alone
def test_what_strangers_send_has_a_bound_in_sum_and_ours_are_not_closed_for_it(bundled: BundledValkey) -> None:
    arguments = b"*10\r\n" + b"$16384\r\n%s\r\n" % (b"x" * 16384) * 9
    with connect(bundled.url("runner"), single_connection_client=True) as runner:
        assert runner.ping()
        ours: Any = runner.connection
        ours.send_packed_command([PING_HEAD + b"x" * 10 * MIB], check_health=False)  # more than any stranger has
        strangers = [bundled.open() for _ in range(5000)]
        for one in strangers:
            one.setblocking(False)
            with_room = one.send(arguments)
            assert with_room
        with connect(bundled.url("taskpost")) as service:
            eventually(lambda: answers(service))  # it has all of that to read first
            assert 150 * MIB < bundled.most_memory_bytes() < 600 * MIB
        ours.send_packed_command([b"\r\n"], check_health=False)
        assert ours.read_response() == b"x" * 10 * MIB
        for one in strangers:
            one.close()


async def test_connections_that_do_not_log_in_are_closed_soon_and_those_of_users_are_not(
    bundled: BundledValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CLOSE_STRANGERS", ("CLIENT", "KILL", "USER", "default", "MAXAGE", "1"))
    with bundled.open() as stranger, bundled.open() as busy_stranger:
        async with connect_async(bundled.url("taskpost"), single_connection_client=True) as client:
            number = await client.client_id()
            own = Guard(client, exclusive=True)

            async def closed() -> bool:
                with_room = True
                try:
                    busy_stranger.sendall(b"x")  # `timeout` is not for one that is never idle
                except OSError:
                    with_room = False
                await own.look()
                return not with_room and keeps_no_connection_open(stranger)

            await until(closed)
            assert await client.client_id() == number
            await own.close()


async def test_when_all_connections_are_taken_the_service_makes_room(
    tmp_path: Path, descriptors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CLOSE_STRANGERS", ("CLIENT", "KILL", "USER", "default", "MAXAGE", "1"))
    bundled = BundledValkey(tmp_path, maxclients="50")
    with bundled.server:
        async with connect_async(bundled.url("taskpost")) as service:
            own = Guard(service, exclusive=True)
            await own.look()
            strangers = [bundled.open() for _ in range(60)]
            with connect(bundled.url("runner")) as runner, pytest.raises(redis.ConnectionError):
                runner.ping()

            async def gets_in() -> bool:
                await own.look()
                try:
                    with connect(bundled.url("runner")) as runner:
                        return bool(runner.ping())
                except redis.ConnectionError:
                    return False

            await until(gets_in)
            await own.close()
            for one in strangers:
                one.close()


async def test_without_an_exclusive_redis_no_connection_is_closed(bundled: BundledValkey) -> None:
    async with connect_async(bundled.url("taskpost")) as client:
        own = Guard(client, exclusive=False)
        with bundled.open() as stranger:
            await own.look()
            stranger.sendall(b"PING\r\n")
            assert stranger.recv(100).startswith(b"-NOAUTH")
        await own.close()


@pytest.mark.parametrize("script", ["while true do end", "redis.call('SET', KEYS[1], '1') while true do end"])
async def test_a_script_of_the_runner_that_never_ends_is_ended(
    tmp_path: Path, descriptors: int, caplog: pytest.LogCaptureFixture, script: str
) -> None:
    bundled = BundledValkey(tmp_path, busy_reply_threshold="100")
    with bundled.server as server:
        async with connect_async(bundled.url("taskpost")) as service, connect_async(bundled.url("runner")) as runner:
            guarding = asyncio.create_task(guard.guard(service, exclusive=True))
            key = key_prefix("taskpost") + "x"
            await service.ping()
            with pytest.raises(redis.RedisError):
                await runner.eval(script, 1, key)

            async def answers() -> bool:
                try:
                    return bool(await service.ping())
                except redis.RedisError:
                    if server.has_ended():
                        server.kill()
                        server.start()  # as the kubelet does
                    return False

            await until(answers)
            assert await service.get(key) is None
            guarding.cancel()
    events = {record.getMessage() for record in caplog.records}
    assert events & {"redis_script_killed", "redis_shut_down"} == {
        "redis_shut_down" if "SET" in script else "redis_script_killed"
    }


async def test_a_script_of_another_application_is_no_reason_to_shut_its_redis_down(
    tmp_path: Path, descriptors: int, caplog: pytest.LogCaptureFixture
) -> None:
    bundled = BundledValkey(tmp_path, busy_reply_threshold="100")
    with bundled.server as server:
        async with connect_async(bundled.url("taskpost")) as service, connect_async(bundled.url("runner")) as runner:
            own = Guard(service, exclusive=False)
            await own.look()
            script = "redis.call('SET', KEYS[1], '1') while true do end"
            with pytest.raises(redis.RedisError):
                await runner.eval(script, 1, key_prefix("taskpost") + "x")
            for _ in range(2):
                await own.look()
            assert not server.has_ended()
            await own.close()
    (refused,) = [record for record in caplog.records if record.getMessage() == "redis_guard_refused"]
    assert "UNKILLABLE" in refused.__dict__["reason"]


async def test_idle_connections_that_are_closed_are_not_missed(tmp_path: Path, descriptors: int) -> None:
    bundled = BundledValkey(tmp_path, timeout="1")
    with bundled.server:
        async with connect_async(bundled.url("taskpost")) as client, client.pubsub() as subscription:
            await subscription.subscribe(key_prefix("taskpost") + "x")
            assert await subscription.get_message(timeout=5)
            await asyncio.gather(*(client.ping() for _ in range(5)))
            with connect(bundled.url("taskpost")) as watcher:
                # The watcher itself and the subscriber.

                async def alone() -> bool:
                    return (await asyncio.to_thread(watcher.info, "clients"))["connected_clients"] == 2

                await until(alone)
                assert await asyncio.gather(*(client.ping() for _ in range(5))) == [True] * 5
                watcher.publish(key_prefix("taskpost") + "x", "1")
            message = await subscription.get_message(timeout=5)
            assert message is not None
            assert message["data"] == b"1"


def test_no_probe_needs_a_password_or_a_valkey_that_is_free() -> None:
    """The kernel answers: a Valkey that is busy must be reached for the end of what keeps it so."""
    for text in (manifest("valkey.yaml"), (MANIFESTS / "install.yaml").read_text()):
        (stateful,) = of_kind("StatefulSet", parse(text))
        (container,) = stateful["spec"]["template"]["spec"]["containers"]
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            assert container[probe]["tcpSocket"] == {"port": "redis"}
