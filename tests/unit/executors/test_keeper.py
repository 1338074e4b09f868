"""What an attempt leaves behind ends with it, and what it writes is bounded, whoever is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from api.core.observation import AttemptId, Cause, Phase, StopReason
from api.embedded import lock, output
from api.executors.base import AttemptSpec
from api.executors.local import LocalExecutor, free_space
from runner.tail_file import KEPT_BYTES, MAX_FILE_BYTES, TailFile
from tests.support.escape import WAYS
from tests.support.wait import until

ESCAPE = Path(__file__).parents[2] / "support" / "escape.py"
TASK = AttemptId("task", 1)
SPEC = AttemptSpec(TASK, "test", {})
LEAVING = [way for way in WAYS if way != "holder of the lock"]


@pytest.fixture
def attempts(tmp_path):
    return tmp_path / "attempts"


@pytest.fixture
def pids(tmp_path):
    path = tmp_path / "pids"
    yield path
    for process in living(path):
        with suppress(psutil.Error):
            process.kill()


def living(pids):
    """What lives of the processes that were left."""
    found = []
    for pid in map(int, pids.read_text().split() if pids.exists() else []):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def started(attempts, *command, grace_seconds=0.3):
    executor = LocalExecutor(attempts, grace_seconds=grace_seconds, command=command)
    await executor.open()
    await executor.start(SPEC)
    return executor


async def over(executor):
    async with asyncio.timeout(30):
        return await anext(executor.watch())


async def left(pids):
    async def ready():
        return os.path.exists(f"{pids}.ready")  # noqa: ASYNC240, PTH110

    await until(ready)


def escape(way, end, pids):
    return (sys.executable, str(ESCAPE), way, str(end), str(pids))


@pytest.mark.parametrize("way", LEAVING)
@pytest.mark.parametrize("code", [0, 3])
async def test_what_an_attempt_leaves_ends_with_it(attempts, pids, way, code):
    executor = await started(attempts, *escape(way, code, pids))
    observation = await over(executor)
    assert (observation.phase, observation.exit_code, observation.log_tail) == (Phase.ENDED, code, "left\n")
    assert living(pids) == []
    await executor.close()


@pytest.mark.parametrize("way", LEAVING)
async def test_what_an_attempt_leaves_ends_when_it_is_stopped(attempts, pids, way):
    executor = await started(attempts, *escape(way, "stay", pids))
    await left(pids)
    await executor.stop(TASK, StopReason.CANCELLED)
    observation = await over(executor)
    assert (observation.signal, observation.stop_asked) == (signal.SIGTERM, StopReason.CANCELLED)
    assert living(pids) == []
    await executor.close()


async def test_what_ignores_term_is_killed_with_all_it_left_by_the_keeper_alone(attempts, pids):
    """The service ends as soon as it has sent TERM: nobody but the keeper can send KILL."""
    script = f"trap '' TERM; {sys.executable} {ESCAPE} stubborn stay {pids} & while :; do sleep 600; done"
    executor = await started(attempts, "sh", "-c", script)
    await left(pids)
    assert len(living(pids)) == 1
    await executor.stop(TASK, StopReason.CANCELLED)
    await executor.close()
    observation = await over_in_the_end(executor)
    assert observation.signal == signal.SIGKILL
    assert living(pids) == []


async def over_in_the_end(executor):
    """`close` lets `watch` end; what is listed still changes."""

    async def ended():
        return (await executor.list())[0].phase is not Phase.ALIVE

    await until(ended)
    return (await executor.list())[0]


@pytest.mark.parametrize("way", ["setsid", "group", "holder of the lock"])
async def test_without_its_keeper_an_attempt_is_over_and_what_it_left_is_found(attempts, pids, way):
    executor = await started(attempts, *escape(way, "kill the keeper", pids))
    observation = await over(executor)
    assert observation.signal == signal.SIGKILL
    assert living(pids) == []
    await executor.close()


SERVICE = """
import asyncio, sys
from pathlib import Path
from tests.unit.executors.test_keeper import SPEC, started

async def main():
    await started(Path(sys.argv[1]), *sys.argv[2:])
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def killed_service(attempts, *command):
    """A service that starts an attempt, and is killed."""
    with subprocess.Popen([sys.executable, "-c", SERVICE, attempts, *command], stdout=subprocess.PIPE) as service:
        assert service.stdout.readline() == b"ready\n"
        service.kill()


def keeper_of(attempts):
    return psutil.Process(int(lock_text(attempts).split()[1].strip(",")))


def lock_text(attempts):
    return (attempts / str(TASK) / "lock").read_text()


@pytest.mark.parametrize("way", LEAVING)
async def test_after_a_kill_of_the_service_the_next_ends_it_with_all_it_left(attempts, pids, way):
    await asyncio.to_thread(killed_service, attempts, *escape(way, "stay", pids))
    await left(pids)
    executor = LocalExecutor(attempts, grace_seconds=0.3)
    await executor.open()
    assert [seen.phase for seen in await executor.list()] == [Phase.ALIVE]
    await executor.stop(TASK, StopReason.CANCELLED)
    assert (await over(executor)).phase is Phase.GONE
    assert living(pids) == []
    await executor.close()


async def test_while_there_is_no_service_what_an_attempt_leaves_ends_with_it(attempts, pids):
    await asyncio.to_thread(killed_service, attempts, *escape("daemon", 0, pids))

    async def empty():
        return lock_text(attempts) == ""

    await until(empty)
    assert living(pids) == []
    executor = LocalExecutor(attempts, grace_seconds=0.3)
    await executor.open()
    assert [seen.phase for seen in await executor.list()] == [Phase.GONE]
    await executor.close()


@pytest.mark.parametrize("way", ["setsid", "holder of the lock"])
async def test_what_is_left_without_keeper_and_service_is_not_the_attempt(attempts, pids, way):
    """The service and the keeper are killed; what is left has the attempt's lock, or not."""
    await asyncio.to_thread(killed_service, attempts, *escape(way, "stay", pids))
    await left(pids)
    keeper = keeper_of(attempts)
    keeper.kill()

    async def gone():
        return not keeper.is_running()

    await until(gone)
    assert len(living(pids)) == 1
    executor = LocalExecutor(attempts, grace_seconds=0.3)
    await executor.open()
    assert [seen.phase for seen in await executor.list()] == [Phase.GONE]
    assert living(pids) == []
    await executor.forget(TASK)
    assert list(attempts.iterdir()) == []
    await executor.close()


async def test_a_keeper_that_was_stopped_is_killed_after_a_margin(attempts, pids, monkeypatch):
    monkeypatch.setattr("api.executors.local.executor.KILL_MARGIN_SECONDS", 0.2)
    executor = await started(attempts, *escape("setsid", "stay", pids))
    await left(pids)
    keeper_of(attempts).suspend()
    await executor.stop(TASK, StopReason.CANCELLED)
    assert (await over(executor)).signal == signal.SIGKILL
    assert living(pids) == []
    await executor.close()


async def test_an_attempt_that_no_service_ends_is_ended_when_all_its_time_is_over(attempts, pids, monkeypatch):
    monkeypatch.setattr("api.executors.local.executor.LIMIT_MARGIN_SECONDS", 0.5)
    command = escape("setsid", "stay", pids)
    executor = LocalExecutor(attempts, grace_seconds=0.3, start_deadline_seconds=0.5, command=command)
    await executor.open()
    await executor.start(AttemptSpec(TASK, "test", {}, timeout_seconds=0.5))
    await left(pids)
    observation = await over(executor)
    assert (observation.signal, observation.cause) == (signal.SIGTERM, Cause.OVERDUE)
    assert living(pids) == []
    await executor.close()


@pytest.mark.parametrize("way", ["setsid", "stubborn"])
async def test_an_attempt_whose_pid_was_not_written_is_found_by_its_mark(attempts, pids, way):
    """The service was killed between the start of a process and its entry in the lock's file."""
    await asyncio.to_thread(killed_service, attempts, *escape(way, "stay", pids))
    await left(pids)
    keeper = keeper_of(attempts)
    (attempts / str(TASK) / "lock").write_text("")
    executor = LocalExecutor(attempts, grace_seconds=0.3)
    await executor.open()
    assert [seen.phase for seen in await executor.list()] == [Phase.GONE]

    async def gone():
        return not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE

    await until(gone)
    await executor.close()


FLOOD = "import os\nwhile True: os.write(1, b'x' * 65536)"


async def test_output_without_end_takes_a_bounded_file(attempts):
    executor = await started(attempts, sys.executable, "-c", FLOOD)
    log = attempts / str(TASK) / "log"
    sizes = set()

    async def grown():
        sizes.add(log.stat().st_size if log.exists() else 0)
        return len(sizes) > 1 and written(executor) > 100 * MAX_FILE_BYTES

    await until(grown)
    await executor.stop(TASK, StopReason.CANCELLED)
    assert (await over(executor)).log_tail == "x" * output.TAIL_BYTES
    assert max(sizes) <= MAX_FILE_BYTES
    assert log.stat().st_size <= MAX_FILE_BYTES
    await executor.close()


def written(executor):
    """How much the attempt has written."""
    keeper = psutil.Process(executor._attempts[TASK].process.pid)
    io = Path(f"/proc/{keeper.children()[0].pid}/io").read_text()
    return int(io.split("wchar: ")[1].split()[0])


async def test_the_end_of_much_output_is_kept(attempts):
    script = "import sys\nfor n in range(100_000): print(n)\nsys.stderr.write('the end')"
    executor = await started(attempts, sys.executable, "-c", script)
    observation = await over(executor)
    assert observation.log_tail.endswith("99998\n99999\nthe end")
    text = (attempts / str(TASK) / "log").read_text()
    assert KEPT_BYTES <= len(text) <= MAX_FILE_BYTES
    assert "".join(f"{n}\n" for n in range(90_000, 100_000))[-KEPT_BYTES + 7 :] in text
    await executor.close()


@pytest.mark.parametrize("size", [KEPT_BYTES - 1, KEPT_BYTES, KEPT_BYTES + 1, MAX_FILE_BYTES, 5 * KEPT_BYTES])
@pytest.mark.parametrize("pieces", [1, 7])
async def test_an_output_is_whole_up_to_its_bound(attempts, size, pieces):
    """One of exactly the bound too: nothing is cut off, and nobody is told that there was more."""
    script = f"import os\nfor n in range({pieces}): os.write(1, b'one\\n' + b'x' * ({size} // {pieces} - 4))\n"
    script += f"os.write(1, b'y' * ({size} % {pieces}))"
    executor = await started(attempts, sys.executable, "-c", script)
    await over(executor)
    log = await executor.read_log(TASK)
    assert log.truncated is (size > KEPT_BYTES)
    if log.truncated:
        assert KEPT_BYTES - 5 <= len(log.data) <= KEPT_BYTES
    else:
        assert (len(log.data), log.data[:5]) == (size, b"one\nx")
    await executor.close()


async def test_a_word_is_in_the_log_while_the_attempt_goes_on(attempts):
    executor = await started(attempts, "sh", "-c", "echo begun; sleep 600")

    async def seen():
        return output.tail(attempts / str(TASK) / "log") == "begun\n"

    await until(seen)
    await executor.stop(TASK, StopReason.CANCELLED)
    await over(executor)
    await executor.close()


async def test_an_attempt_that_closes_its_output_goes_on(attempts):
    executor = await started(attempts, "sh", "-c", "exec >&- 2>&-; sleep 0.1; exit 9")
    assert (await over(executor)).exit_code == 9
    await executor.close()


async def test_a_program_that_is_not_there_says_so(attempts):
    executor = await started(attempts, "/no/such/program")
    observation = await over(executor)
    assert (observation.exit_code, observation.log_tail) == (
        127,
        "/no/such/program cannot be started: No such file or directory\n",
    )
    await executor.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems can be mounted by root alone")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(path):
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


async def test_an_attempt_on_a_full_disk_goes_on_and_its_last_words_are_kept(small_disk):
    attempts = small_disk / "attempts"
    gates = [small_disk.parent / name for name in ("first", "second")]
    for gate in gates:
        os.mkfifo(gate)
    script = f"cat {gates[0]}; for n in $(seq 20000); do echo word $n; done; cat {gates[1]}; exit 5"
    executor = await started(attempts, "sh", "-c", script)
    fill(small_disk / "filler")
    await asyncio.to_thread(gates[0].write_text, "")  # from here on it writes, and has nowhere to
    second = await asyncio.to_thread(os.open, gates[1], os.O_WRONLY)  # returns when the script has come to this gate
    (small_disk / "filler").unlink()
    os.close(second)
    observation = await over(executor)
    assert observation.exit_code == 5
    assert observation.log_tail.endswith("word 19999\nword 20000\n")
    await executor.close()


def test_a_tail_that_cannot_be_written_is_written_later(tmp_path):
    """Without root: a directory in the place of the file is a fault of the same kind."""
    path = tmp_path / "log"
    path.mkdir()
    log = TailFile(path)
    log.write(b"a" * (3 * KEPT_BYTES))
    assert not log.flush()
    path.rmdir()
    log.write(b"b")
    assert log.flush()
    assert path.read_bytes() == b"a" * KEPT_BYTES + b"b"
    log.write(b"c")
    assert log.flush()
    assert path.read_bytes() == b"a" * KEPT_BYTES + b"bc"


async def test_what_an_attempt_had_on_disk_is_free_when_it_is_over(attempts):
    executor = await started(attempts, "sh", "-c", "echo x > big; exit 1")
    await over(executor)

    async def free():
        return not (attempts / str(TASK) / "work").exists()

    await until(free)
    await executor.close()


def test_space_is_given_back_before_anything_else_is_done(attempts):
    over_, alive = attempts / "over-1", attempts / "alive-1"
    for directory in (over_, alive):
        (directory / "work" / "deep").mkdir(parents=True)
        (directory / "lock").touch()
        (directory / "log").write_bytes(b"x" * (output.MAX_BYTES + 1) + b"end")
    holder = lock.open_lock(alive / "lock")
    assert lock.try_lock(holder)
    free_space(attempts)
    os.close(holder)
    assert not (over_ / "work").exists()
    assert (alive / "work" / "deep").exists()
    for directory in (over_, alive):
        assert (directory / "log").read_bytes() == b"x" * (output.TAIL_BYTES - 3) + b"end"
    shutil.rmtree(attempts)
    free_space(attempts)
