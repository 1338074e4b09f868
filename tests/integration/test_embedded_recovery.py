"""What a power loss, a full disk and other trouble leave: the embedded Valkey starts again, by itself where it can."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis
from taskpost import ApiError, Unreachable

from api.embedded import repair, valkey
from api.embedded.directory import DataDirectory
from api.embedded.errors import ValkeyError
from runner.connect import connect
from tests.support.embedded import Events, running, valkey_pid
from tests.support.service import ServiceProcess, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1])"


async def written(data: DataDirectory, *, then: bytes = b"") -> Path:
    """Write two keys and, in one step, two more; return the file of commands, with bytes appended to it."""
    async with running(data) as client:
        await client.mset({"a": "1", "b": "2"})
        await client.eval(SCRIPT, 2, "c", "d", "x" * 100)
        os.kill(valkey_pid(data), signal.SIGKILL)
    (file,) = (data.valkey / "appendonlydir").glob("*.incr.aof")
    with file.open("ab") as end:
        end.write(then)
    return file


def copies(data: DataDirectory) -> list[Path]:
    return sorted((data.valkey / "damaged").iterdir())


async def test_zeros_at_the_end_are_cut_off_and_a_copy_is_kept(
    data: DataDirectory, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    file = await written(data, then=bytes(4096))
    before = file.read_bytes()
    async with running(data) as client:
        assert await client.dbsize() == 4
    (copy,) = copies(data)
    assert copy.read_bytes() == before
    (record,) = [record for record in caplog.records if record.getMessage() == "valkey_file_repaired"]
    facts = record.__dict__
    assert (facts["file"], facts["cut_bytes"], facts["copy"]) == (str(file), 4096, str(copy))
    assert facts["offset"] == len(before) - 4096
    async with running(data) as client:
        assert await client.dbsize() == 4
    assert copies(data) == [copy]


async def test_zeros_within_the_last_write_cost_that_alone(data: DataDirectory) -> None:
    file = await written(data)
    before = file.read_bytes()
    at = before.rindex(b"$1\r\nd\r\n")
    file.write_bytes(before[:at] + bytes(20) + before[at + 20 :])
    async with running(data) as client:
        assert await client.dbsize() == 2
        assert await client.get("a") == "1"


async def test_a_write_that_stops_short_with_zeros_behind_it_is_cut_off(data: DataDirectory) -> None:
    file = await written(data)
    os.truncate(file, file.stat().st_size - 60)
    with file.open("ab") as end:
        end.write(bytes(4096))
    async with running(data) as client:
        assert await client.dbsize() == 2


@pytest.mark.parametrize("damage", [bytes(30), b"\x01" * 30])
async def test_damage_in_the_middle_is_told_of_and_nothing_is_cut(data: DataDirectory, damage: bytes) -> None:
    file = await written(data)
    before = file.read_bytes()
    at = before.index(b"$1\r\na\r\n")
    damaged = before[:at] + damage + before[at + len(damage) :]
    file.write_bytes(damaged)
    with pytest.raises(ValkeyError) as refusal:
        async with running(data):
            pass
    message = str(refusal.value)
    assert f"{file} is damaged at byte {at}" in message
    assert "backup" in message
    assert "truncate -s " in message
    assert "check-aof" not in message, "a tool that is not installed helps nobody"
    assert file.read_bytes() == damaged
    assert not (data.valkey / "damaged").exists()


async def test_few_copies_are_kept_the_newest(data: DataDirectory) -> None:
    for number in range(5):
        file = await written(data, then=bytes(100 + number))
        async with running(data):
            pass
    assert [copy.name.partition("-")[0] for copy in copies(data)] == ["3", "4", "5"]
    assert copies(data)[-1].read_bytes() == file.read_bytes() + bytes(104)


async def test_without_room_for_a_copy_of_all_what_is_cut_is_kept(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await written(data, then=bytes(4096))
    size = file.stat().st_size
    copy = repair._copy

    def full(file: Path, offset: int, target: Path) -> Path:
        if not offset:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(file, offset, target)

    monkeypatch.setattr(repair, "_copy", full)
    async with running(data) as client:
        assert await client.dbsize() == 4
    (kept,) = copies(data)
    assert kept.name.endswith(f".from-{size - 4096}")
    assert kept.read_bytes() == bytes(4096)


async def test_without_a_copy_nothing_is_cut(data: DataDirectory) -> None:
    file = await written(data, then=bytes(4096))
    size = file.stat().st_size
    (data.valkey / "damaged").write_text("in the way")
    with pytest.raises(ValkeyError, match="cut off only when a copy can be kept"):
        async with running(data):
            pass
    assert file.stat().st_size == size


# The supervisor.


def failing(error: Callable[[], Exception], times: int, call: Callable[..., Any]) -> Callable[..., Any]:
    left = iter(range(times))

    def fails(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is not None:
            raise error()
        return call(*arguments, **named)

    return fails


@pytest.mark.parametrize("name", ["spawn", "Survivor", "call_at_end", "command", "base_environment"])
@pytest.mark.parametrize(
    "error",
    [
        lambda: OSError(errno.ENOSPC, "No space left on device"),
        lambda: OSError(errno.EMFILE, "Too many open files"),
        lambda: PermissionError(errno.EACCES, "Permission denied"),
        lambda: RuntimeError("can't start new thread"),
        lambda: ValueError("a mistake of ours"),
    ],
)
async def test_whatever_is_in_the_way_of_a_restart_it_is_tried_again(
    data: DataDirectory, events: Events, monkeypatch: pytest.MonkeyPatch, name: str, error: Callable[[], Exception]
) -> None:
    async with running(data) as client:
        await client.set("key", "value")
        await events.wait_for("valkey_started")
        monkeypatch.setattr(valkey, name, failing(error, 3, getattr(valkey, name)))
        os.kill(valkey_pid(data), signal.SIGKILL)
        messages = await events.wait_for("valkey_started")
        assert messages.count("valkey_restart_failed") == 3
        assert await client.get("key") == "value"


async def test_a_cancellation_that_nobody_asked_for_does_not_end_the_supervision(
    data: DataDirectory, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(data) as client:
        await events.wait_for("valkey_started")
        monkeypatch.setattr(valkey, "spawn", failing(asyncio.CancelledError, 1, valkey.spawn))  # type: ignore[arg-type]
        os.kill(valkey_pid(data), signal.SIGKILL)
        assert "valkey_restart_failed" in await events.wait_for("valkey_started")
        assert await client.ping()


def test_pauses_grow_to_a_bound_however_long_it_takes() -> None:
    pause = 0.0
    pauses = [pause := valkey._longer(pause) for _ in range(5000)]
    assert pauses == sorted(pauses)
    assert pauses[0] == valkey.POLL_SECONDS
    assert pauses[-1] == valkey.MAX_BACKOFF_SECONDS


async def test_a_binary_that_is_gone_is_looked_for_again(
    data: DataDirectory, events: Events, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = await asyncio.to_thread(valkey.find_server)
    link = tmp_path / "valkey-server"
    link.symlink_to(real)
    monkeypatch.setattr(valkey, "find_server", iter([link, real]).__next__)
    async with running(data) as client:
        await events.wait_for("valkey_started")
        link.unlink()
        os.kill(valkey_pid(data), signal.SIGKILL)
        await events.wait_for("valkey_started")
        assert await client.ping()


async def test_without_descriptors_of_ours_a_valkey_that_runs_is_not_ended(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "ANSWER_SECONDS", 0.3)
    opened: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spawn = valkey.spawn

    def spawn_and_fill(*arguments: Any, **named: Any) -> Any:
        child = spawn(*arguments, **named)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        try:
            while True:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        asyncio.get_running_loop().call_later(1.0, free)  # longer than a Valkey may be silent
        return child

    def free() -> None:
        while opened:
            os.close(opened.pop())
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    monkeypatch.setattr(valkey, "spawn", spawn_and_fill)
    try:
        async with running(data) as client:
            assert await client.ping()
    finally:
        free()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_disk_that_is_full_and_has_room_again(small_disk: Path, events: Events) -> None:
    """Nothing of the restart needs room that it does not have already."""
    with DataDirectory(small_disk / "data") as data:
        async with running(data) as client:
            await client.set("key", "value")
            await events.wait_for("valkey_started")
            filler = small_disk / "filler"
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            assert not shutil.disk_usage(small_disk).free
            pid = valkey_pid(data)
            os.kill(pid, signal.SIGKILL)
            await events.wait_for("valkey_started")
            assert valkey_pid(data) != pid
            assert await client.get("key") == "value"
            filler.unlink()
            assert await client.set("key", "other")


@pytest.mark.parametrize("script", ["while true do end", "redis.call('SET', 'x', '1') while true do end"])
def test_a_script_that_never_ends_does_not_end_the_service(data_directory: Path, script: str) -> None:
    """As the code of a Python type can run one: it holds the runner's address of Redis."""
    with ServiceProcess(data_directory, log_format="json") as service, service.client() as client:
        with connect(f"unix://{data_directory}/valkey/valkey.sock") as runner:
            runner.config_set("busy-reply-threshold", 100)
            with pytest.raises(redis.RedisError):
                runner.eval(script, 0)

        def submitted() -> bool:
            try:
                return bool(client.submit("sleep", {"seconds": 0}))
            except (ApiError, Unreachable):
                return False

        eventually(submitted, of="a task is taken again")
        task = client.submit("sleep", {"seconds": 0}).task
        assert client.wait(task.task_id, timeout_seconds=30).task_status == "done"
        expected = "redis_shut_down" if "SET" in script else "redis_script_killed"
        assert f'"{expected}"' in service.log()
