"""What is the local executor's alone; what every executor does is in tests/conformance."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.core.observation import AttemptId, Observation, Phase, StopReason
from api.embedded import lock, output, process
from api.embedded.identity import format_identity, identify
from api.executors.base import StartError
from api.executors.local import LocalExecutor, executor
from api.executors.local.observe import observe_end, parse_attempt_id
from tests.conformance.local_place import LocalPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SERVICE = Path(__file__).with_name("service.py")
TASK = AttemptId("task", 1)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[LocalPlace]:
    place = LocalPlace(tmp_path)
    yield place
    await place.close()


@pytest.fixture
def left_by_a_dead_service(place: LocalPlace) -> None:
    """A service was killed while it ran the attempts `task` (and its child) and `stubborn`."""
    programs = {"task": "parent stubborn", "stubborn": "stubborn", "leader": "parent stubborn"}
    for task_id, program in programs.items():
        place.spec(task_id, program)  # its pipe
    words = [f"{task_id}={program}" for task_id, program in programs.items()]
    with subprocess.Popen(
        [sys.executable, str(SERVICE), str(place.directory), *words], stdout=subprocess.PIPE
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        service.kill()


async def over(place: LocalPlace, *attempt_ids: AttemptId) -> dict[AttemptId, Observation]:
    async with asyncio.timeout(30):
        ends: dict[AttemptId, Observation] = {}
        while not ends.keys() >= set(attempt_ids):
            observation = await anext(place.executor.watch())
            ends[observation.attempt_id] = observation
    return ends


def lock_file(place: LocalPlace, attempt_id: AttemptId = TASK) -> Path:
    path = place.attempts / str(attempt_id) / "lock"
    path.parent.mkdir(parents=True)
    return path


def leader_of(place: LocalPlace, task_id: str) -> int:
    pid: int = json.loads((place.attempts / f"{task_id}-1" / "lock").read_text())["pid"]
    return pid


@pytest.mark.usefixtures("left_by_a_dead_service")
async def test_attempts_of_a_killed_service_are_adopted_and_can_be_stopped(place: LocalPlace) -> None:
    ids = [AttemptId(name, 1) for name in ("leader", "stubborn", "task")]
    await place.executor.open()
    assert await place.executor.list() == tuple(Observation(attempt_id, Phase.ALIVE) for attempt_id in ids)
    os.kill(leader_of(place, "leader"), signal.SIGKILL)  # its child goes on
    await place.executor.stop(ids[1], StopReason.CANCELLED)
    await place.executor.stop(ids[2], StopReason.DEADLINE)
    ends = await over(place, *ids)
    assert [(ends[each].phase, ends[each].stop_asked) for each in ids] == [
        (Phase.GONE, None),
        (Phase.GONE, StopReason.CANCELLED),
        (Phase.GONE, StopReason.DEADLINE),
    ]
    for attempt_id in ids:
        await place.nothing_left(place.spec(attempt_id.task_id, ""))
        await place.executor.forget(attempt_id)
    assert list(place.attempts.iterdir()) == []


@pytest.mark.usefixtures("left_by_a_dead_service")
async def test_what_is_left_in_the_group_of_an_attempt_that_ended_unseen_is_killed(place: LocalPlace) -> None:
    for task_id in ("leader", "stubborn", "task"):
        leader = leader_of(place, task_id)
        os.kill(leader, signal.SIGKILL)
        descriptor = lock.open_lock(place.attempts / f"{task_id}-1" / "lock")
        await asyncio.to_thread(lock.wait_lock, descriptor)
        os.close(descriptor)
    await place.executor.open()
    assert {observation.phase for observation in await place.executor.list()} == {Phase.GONE}
    for task_id in ("leader", "stubborn", "task"):
        await place.nothing_left(place.spec(task_id, ""))


async def test_a_child_that_holds_the_lock_after_its_leader_can_be_stopped(place: LocalPlace) -> None:
    """An adopted attempt lives as long as anything has its lock; its leader's pid is no longer its."""
    await place.executor.open()
    spec = place.spec("task", "fork")
    await place.executor.start(spec)
    await place.begun(spec)
    pid = leader_of(place, "task")
    identity = identify(pid)
    survivor = process.Survivor(place.attempts / "task-1" / "lock")
    assert survivor.identity == identity
    assert survivor.alive
    survivor.identity = process.parse_identity(json.dumps({"pid": pid, "started": "before"}))
    survivor.signal(signal.SIGKILL)  # the leader is a stranger now; both are members of the group and have the mark
    await place.nothing_left(spec)
    survivor.wait()
    await over(place, TASK)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        yield stranger
        stranger.kill()


async def test_a_pid_that_another_process_has_now_is_not_signalled(
    place: LocalPlace, stranger: subprocess.Popen[bytes]
) -> None:
    identity = identify(stranger.pid)
    assert identity is not None
    lock_file(place).write_text(json.dumps({"pid": stranger.pid, "started": identity.started + "0"}))
    await place.executor.open()
    assert [observation.phase for observation in await place.executor.list()] == [Phase.GONE]
    assert stranger.poll() is None


async def test_a_held_lock_without_a_pid_is_gone_at_once_and_removed_when_free(place: LocalPlace) -> None:
    path = lock_file(place)
    holder = lock.open_lock(path)
    assert lock.try_lock(holder)
    await place.executor.open()
    assert [observation.phase for observation in await place.executor.list()] == [Phase.GONE]
    await place.executor.stop(TASK, StopReason.CANCELLED)
    await place.executor.forget(TASK)
    assert await place.executor.list() == ()
    with pytest.raises(StartError, match="no directory"):
        await place.executor.start(place.spec("task", "exit 0"))
    assert path.exists()
    removed = asyncio.Event()
    loop = asyncio.get_running_loop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor.shutil, "rmtree", lambda *_, **__: loop.call_soon(removed.set))
        os.close(holder)
        async with asyncio.timeout(30):
            await removed.wait()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"pid": 1, "started": ""}', '{"pid": true, "started": ""}', '{"pid": 70}', "\0\xff"]
)
async def test_a_corrupt_lock_file_is_an_attempt_that_is_gone(place: LocalPlace, text: str) -> None:
    lock_file(place).write_bytes(text.encode("latin-1"))
    await place.executor.open()
    assert await place.executor.list() == (Observation(TASK, Phase.GONE),)
    await place.executor.forget(TASK)
    assert list(place.attempts.iterdir()) == []


async def test_what_is_no_attempt_and_what_cannot_be_read_does_not_hinder_the_start(place: LocalPlace) -> None:
    lock_file(place).mkdir()
    (place.attempts / "stranger").mkdir()
    (place.attempts / "task-2").write_text("a file")
    await place.executor.open()
    gone = await place.executor.list()
    assert gone == tuple(Observation(AttemptId("task", number), Phase.GONE) for number in (1, 2))
    for observation in gone:
        await place.executor.stop(observation.attempt_id, StopReason.CANCELLED)
        await place.executor.forget(observation.attempt_id)
    assert (place.attempts / "stranger").exists()


async def test_a_keeper_that_cannot_be_started_is_a_start_error_and_leaves_nothing(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "KEEPER_COMMAND", ("/no/such/program",))
    await place.executor.open()
    with pytest.raises(StartError, match="/no/such/program"):
        await place.executor.start(place.spec("task", "exit 0"))
    assert await place.executor.list() == ()
    assert list(place.attempts.iterdir()) == []


@pytest.mark.parametrize("fault", ["write", "thread"])
async def test_what_cannot_be_watched_is_ended_at_once(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    await place.executor.open()
    spec = place.spec("task", "pause")

    def fail_to_write(_descriptor: int, text: str) -> None:
        if text:
            raise OSError("no space left")

    def fail_to_start(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    if fault == "write":
        monkeypatch.setattr(lock, "write", fail_to_write)
    else:
        monkeypatch.setattr(process.threading.Thread, "start", fail_to_start)
    with pytest.raises(StartError, match=r"no space|new thread"):
        await place.executor.start(spec)
    monkeypatch.undo()
    assert await place.executor.list() == ()
    assert list(place.attempts.iterdir()) == []


async def test_an_unusable_directory_is_a_start_error(place: LocalPlace) -> None:
    with pytest.raises(StartError, match="no directory"):
        await place.executor.start(place.spec("task", "exit 0"))


async def test_an_attempt_is_given_none_of_the_settings_of_the_service(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKPOST_SIGNING_KEYS", "whsec_secret")
    monkeypatch.setenv("LC_TIME", "C")
    await place.executor.open()
    spec = place.spec("task", "show TASKPOST_SIGNING_KEYS LC_TIME HOME")
    await place.executor.start(spec)
    ends = await over(place, TASK)
    assert ends[TASK].log_tail == f"(unset) C {os.environ.get('HOME', '(unset)')}\n"


async def test_close_leaves_what_runs_and_kills_nothing_later(place: LocalPlace) -> None:
    await place.executor.open()
    spec = place.spec("task", "stubborn")
    await place.executor.start(spec)
    await place.begun(spec)
    await place.executor.stop(TASK, StopReason.CANCELLED)
    await place.executor.close()
    await place.executor.forget(TASK)  # still alive, so not forgotten
    assert await place.executor.list() == (Observation(TASK, Phase.ALIVE, stop_asked=StopReason.CANCELLED),)
    timer = place.executor._attempts[TASK].kill
    assert timer is not None
    assert timer.cancelled()


def test_the_thread_of_an_attempt_outlives_its_loop_quietly(tmp_path: Path) -> None:
    threads: list[process.threading.Thread] = []

    class Thread(process.threading.Thread):
        def start(self) -> None:
            threads.append(self)
            super().start()

    async def start_and_leave() -> process.Process:
        local = LocalExecutor(tmp_path / "attempts", grace_seconds=1, command=("sleep", "1000"))
        await local.open()
        await local.start(LocalPlace(tmp_path).spec("task", ""))
        await local.close()
        child = local._attempts[TASK].process
        assert child is not None
        return child

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.threading, "Thread", Thread)
        child = asyncio.run(start_and_leave())
    child.signal(signal.SIGKILL)
    own = next(thread for thread in threads if thread.name == "end-of-process")
    own.join(30)
    assert not own.is_alive()
    child.signal(signal.SIGKILL)  # over and reaped: nothing is signalled


async def test_an_end_is_seen_without_descriptors(tmp_path: Path) -> None:
    """What a process has left is looked for in /proc, and that takes a descriptor."""
    child = process.spawn(
        tmp_path / "lock", ("sleep", "1000"), directory=tmp_path, environment=os.environ, output=tmp_path / "log"
    )
    told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    process.call_at_end(child, told.set_result)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        child.signal(signal.SIGKILL)
        async with asyncio.timeout(30):
            assert await told == -signal.SIGKILL
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_an_end_is_seen_without_threads(place: LocalPlace) -> None:
    """A task can use up what its machine has of threads; here a pool that has none to give stands for that."""

    class NoThreads(ThreadPoolExecutor):
        def submit(self, *_arguments: object, **_names: object) -> Any:
            raise RuntimeError("can't start new thread")

    await place.executor.open()
    await place.executor.start(place.spec("task", "pause"))
    with NoThreads() as none, ThreadPoolExecutor() as some:
        asyncio.get_running_loop().set_default_executor(none)
        await place.executor.stop(TASK, StopReason.CANCELLED)
        assert (await over(place, TASK))[TASK].phase is Phase.ENDED
        with pytest.raises(RuntimeError):
            await place.executor.forget(TASK)
        assert [seen.attempt_id for seen in await place.executor.list()] == [TASK]
        asyncio.get_running_loop().set_default_executor(some)
        await place.executor.forget(TASK)
    assert await place.executor.list() == ()
    assert not (place.attempts / "task-1").exists()


def test_the_interpreter_does_not_wait_for_attempts(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path)
    script = SERVICE.read_text().replace("await asyncio.Event().wait()", "")
    spec = place.spec("task", "pause")
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), "task=pause"], check=True, timeout=30, stdout=subprocess.DEVNULL
    )
    survivor = process.Survivor(place.attempts / "task-1" / "lock")
    assert survivor.alive
    survivor.signal(signal.SIGTERM)
    survivor.wait()
    asyncio.run(place.nothing_left(spec))


@pytest.mark.parametrize(
    ("return_code", "expected"),
    [
        (0, Observation(TASK, Phase.ENDED, exit_code=0, log_tail="bye")),
        (-9, Observation(TASK, Phase.ENDED, signal=9, log_tail="bye")),
        (None, Observation(TASK, Phase.GONE, log_tail="bye")),
    ],
)
def test_an_end_is_read_from_the_return_code(return_code: int | None, expected: Observation) -> None:
    assert observe_end(Observation(TASK, Phase.ALIVE), return_code, "bye") == expected


@pytest.mark.parametrize("name", ["", "task", "task-", "-1", "task-x", "task-1.5"])
def test_other_names_are_no_attempts(name: str) -> None:
    assert parse_attempt_id(name) is None


def test_the_name_of_an_attempt_is_read_back() -> None:
    attempt_id = AttemptId("0197-ab", 12)
    assert parse_attempt_id(str(attempt_id)) == attempt_id


def test_a_process_is_told_from_the_next_of_the_same_pid() -> None:
    own = identify(os.getpid())
    assert own is not None
    assert own == identify(os.getpid())
    assert process.parse_identity(format_identity(own)) == own
    with subprocess.Popen(["sleep", "0"]) as other:
        pass
    assert identify(other.pid) is None


def test_a_process_is_known_where_the_boot_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    read_text = Path.read_text

    def read(path: Path, **options: Any) -> str:
        if path.name == "boot_id":
            raise FileNotFoundError(path)
        return read_text(path, **options)

    monkeypatch.setattr(Path, "read_text", read)
    own = identify(os.getpid())
    assert own is not None
    assert own != identify(os.getppid())


async def test_an_end_is_seen_where_a_process_cannot_be_left_unreaped(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "waitid")
    monkeypatch.setattr(sys, "platform", "darwin")
    await place.executor.open()
    spec = place.spec("task", "leave")
    await place.executor.start(spec)
    assert (await over(place, TASK))[TASK].exit_code == 0
    await place.nothing_left(spec)


def test_a_lock_that_is_held_is_not_taken_twice(tmp_path: Path) -> None:
    holder = lock.open_lock(tmp_path / "lock")
    assert lock.try_lock(holder)
    with pytest.raises(BlockingIOError, match="locked by another process"):
        process.spawn(tmp_path / "lock", ["true"], directory=tmp_path, environment={}, output=tmp_path / "log")
    os.close(holder)


async def test_a_log_that_has_grown_all_the_same_is_cut(place: LocalPlace) -> None:
    """By an attempt of an earlier version, for example, which writes on behind the cut."""
    await place.executor.open()
    spec = place.spec("task", "pause")
    await place.executor.start(spec)
    await place.begun(spec)
    log = place.attempts / "task-1" / "log"
    with log.open("ab") as file:
        file.write(b"x" * output.MAX_BYTES + b"the end")
        file.flush()
        place.executor._trim_logs()
        assert log.read_bytes() == b"x" * (output.TAIL_BYTES - 7) + b"the end"
        file.write(b", and more")
    assert output.tail(log).endswith("the end, and more")
    await place.executor.stop(TASK, StopReason.CANCELLED)
    await over(place, TASK)


def test_output_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert output.tail(tmp_path / "none") == ""
    output.trim(tmp_path / "none")


def test_what_stands_in_the_place_of_an_output_is_not_read_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    before = len(set(Path("/dev/fd").iterdir()))
    for name in ("link", "pipe", ".", "none", "secret/x"):
        assert output.read_end(tmp_path / name, 100) == b""
    assert len(set(Path("/dev/fd").iterdir())) == before
    assert output.read_end(tmp_path / "secret", 3) == b"ret"


async def test_the_log_of_a_flood_is_its_last_64_kib(place: LocalPlace) -> None:
    await place.executor.open()
    flood = place.spec("task", "flood 1000000")
    await place.executor.start(flood)
    await place.begun(flood)
    await place.executor.stop(TASK, StopReason.CANCELLED)
    await over(place, TASK)
    log = await place.executor.read_log(TASK)
    assert (len(log.data), log.truncated) == (64 * 1024, True)
    await place.executor.forget(TASK)
    assert (await place.executor.read_log(TASK)).data == b""


async def test_a_start_that_nobody_foresaw_leaves_no_directory(place: LocalPlace) -> None:
    await place.executor.open()
    with pytest.raises(ValueError, match="null byte"):
        await place.executor.start(place.spec("task", "pause", ODD="a\0b"))
    assert list(place.attempts.iterdir()) == []


async def test_the_number_of_an_attempt_whose_directory_is_there_is_used_up(place: LocalPlace) -> None:
    await place.executor.open()
    (place.attempts / str(TASK)).mkdir()
    with pytest.raises(StartError) as caught:
        await place.executor.start(place.spec("task", "pause"))
    assert caught.value.may_exist
