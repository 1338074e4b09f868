"""What the controller does with the answers that only a cluster gives, with a real queue."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from api.controller.dispatch import Dispatcher
from api.controller.settle import Settler
from api.controller.starts import StartBook
from api.controller.supervise import cancel
from api.core.decisions import Limits
from api.core.observation import AttemptId, Cause, Observation, Obstacle, Phase
from api.core.task import Reason
from api.executors.base import ExecutorUnavailable, StartError, StartRefused, StartUnknown
from api.queue.shapes import QueueLimits, Submission
from runner.attempt import EnvironmentInvalid, read_attempt
from runner.contract import State
from tests.support.definitions import definitions
from tests.support.starts import start_one

LIMITS = QueueLimits(100, 10_000)
SUBMISSION = Submission("sleep", "{}", None, 0, 60_000)
PULL = Reason(Obstacle.IMAGE, "ImagePullBackOff: Back-off pulling image")


class ScriptedExecutor:
    ends_with_service = False

    def __init__(self):
        self.faults = []
        self.specs = []
        self.shown = {}
        self.unavailable = []

    async def start(self, spec):
        self.specs.append(spec)
        if self.faults:
            raise self.faults.pop(0)
        self.shown[spec.attempt_id] = Observation(spec.attempt_id, Phase.ALIVE)

    async def forget(self, attempt_id):
        self.shown.pop(attempt_id, None)

    async def refresh(self):
        if self.unavailable:
            raise self.unavailable.pop(0)

    async def list(self):
        return list(self.shown.values())


@pytest.fixture
def executor():
    return ScriptedExecutor()


@pytest.fixture
def book():
    return StartBook()


@pytest.fixture
def dispatcher(queue, executor, book, monkeypatch):
    monkeypatch.setattr("api.controller.dispatch.FIRST_PAUSE_SECONDS", 0.01)
    return Dispatcher(queue, executor, book, concurrency=9, types=definitions("sleep", "fibonacci"), environment={})


@pytest.fixture
def settler(queue, executor, book):
    return Settler(queue, executor, book, Limits(3, 600, 3600))


async def started(queue, dispatcher):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    assert await start_one(dispatcher)
    return AttemptId(task.task_id, 1)


async def now(queue, attempt_id):
    return (await queue.read(attempt_id.task_id))[0]


async def test_a_start_that_is_refused_for_good_fails_its_task(queue, executor, dispatcher):
    executor.faults = [StartRefused("denied: no cost-center")]
    task = await now(queue, await started(queue, dispatcher))
    assert (task.state, task.error) == (State.FAILED, Reason("rejected", "denied: no cost-center"))
    assert await queue.slots() == []


async def test_a_start_of_which_nobody_knows_is_asked_for_again_with_its_slot_held(queue, executor, dispatcher):
    executor.faults = [StartUnknown("no answer"), StartUnknown("slow down", 0.02)]
    attempt_id = await started(queue, dispatcher)
    assert [spec.attempt_id for spec in executor.specs] == [attempt_id] * 3
    assert executor.specs[0].timeout_seconds == 60


async def test_after_a_while_its_task_goes_back_to_the_queue(queue, executor, dispatcher, monkeypatch):
    monkeypatch.setattr("api.controller.dispatch.START_PATIENCE_SECONDS", 0)
    executor.faults = [StartUnknown("no answer")]
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    queued = await now(queue, AttemptId(task.task_id, 1))
    assert (queued.state, queued.attempt) == (State.QUEUED, 1), "it may have been started: its number is used up"


async def test_a_quota_is_waited_for_in_its_own_words(queue, executor, dispatcher):
    executor.faults = [StartError("exceeded quota", Obstacle.QUOTA)]
    attempt_id = await started(queue, dispatcher)
    waiting = (await now(queue, attempt_id)).waiting
    assert waiting.code == "quota"
    assert "exceeded quota" in waiting.message
    assert not await start_one(dispatcher), "its type rests"
    other = (await queue.submit(replace(SUBMISSION, task_type="fibonacci"), LIMITS)).task
    assert await start_one(dispatcher)
    assert (await now(queue, AttemptId(other.task_id, 1))).state is State.STARTING


async def test_why_it_has_not_begun_is_shown_and_taken_back(queue, executor, dispatcher, settler):
    attempt_id = await started(queue, dispatcher)
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE, waiting=PULL)
    assert await settler.settle_all() <= 2
    assert (await now(queue, attempt_id)).waiting == PULL
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE)
    await settler.settle_all()
    assert (await now(queue, attempt_id)).waiting is None
    await queue.note_waiting(AttemptId(attempt_id.task_id, 2), PULL)
    assert (await now(queue, attempt_id)).waiting is None


async def test_three_that_cannot_start_leave_their_type_one_slot(queue, executor, dispatcher, settler):
    for _ in range(3):
        attempt_id = await started(queue, dispatcher)
        executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE, waiting=PULL)
    await settler.settle_all()
    await queue.submit(SUBMISSION, LIMITS)
    assert not await start_one(dispatcher)
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE)
    await settler.settle_all()
    assert await start_one(dispatcher)


async def test_a_suspended_task_starts_again_under_the_same_attempt(queue, executor, dispatcher, settler):
    attempt_id = await started(queue, dispatcher)
    token = executor.specs[0].environment["TASKPOST_TOKEN"]

    async def begin(holder):
        script = queue._redis.register_script(_start_script())
        return await script(keys=[queue._prefix], args=[attempt_id.task_id, 1, token, holder])

    assert (await begin("pod1"))[0] == b"started"
    assert (await begin("pod2"))[0] == b"held"
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE, cause=Cause.SUSPENDED)
    await settler.settle_all()
    assert (await now(queue, attempt_id)).state is State.STARTING
    assert (await queue.read(attempt_id.task_id))[1].total == 0, "its slot is for others"
    assert (await begin("pod2"))[0] == b"started"
    task = await now(queue, attempt_id)
    assert (task.suspensions, [one.reason.code for one in task.past]) == (1, ["suspended"])
    assert (await queue.read(attempt_id.task_id))[1].total == 1


async def test_a_pod_after_a_suspension_that_nobody_saw_may_begin(queue, executor, dispatcher, settler):
    attempt_id = await started(queue, dispatcher)
    token = executor.specs[0].environment["TASKPOST_TOKEN"]

    async def begin(holder):
        script = queue._redis.register_script(_start_script())
        return (await script(keys=[queue._prefix], args=[attempt_id.task_id, 1, token, holder]))[0]

    assert await begin("pod1") == b"started"
    assert await begin("pod2") == b"held"
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE, holder="pod2")
    await settler.settle_all()
    assert (await queue.read(attempt_id.task_id))[1].total == 1, "it has its slot"
    assert await begin("pod2") == b"started"
    assert await begin("pod1") == b"held"


async def test_start_deadline_counts_over_all_releases(queue, executor, dispatcher):
    """Kueue's waitForPodsReady evicts and releases an attempt that cannot start, again and again."""
    attempt_id = await started(queue, dispatcher)
    await queue.tick("machine", 1_000_000)
    for release in range(1, 4):
        await queue.note_waiting(attempt_id, PULL)
        await queue.tick("machine", 1_000_000 + release * 100_000 - 40_000)
        await queue.note_waiting(attempt_id, Reason(Obstacle.SUSPENDED, "evicted"))
        await queue.tick("machine", 1_000_000 + release * 100_000)
    await queue.note_waiting(attempt_id, Reason(Obstacle.TERMINATING, "tp-1-abc"))
    await queue.tick("machine", 1_000_000 + 900_000)
    await queue.note_waiting(attempt_id, None)
    task = await now(queue, attempt_id)
    assert 170_000 < task.start_used_ms < 190_000


async def test_suspended_attempts_are_bounded_and_leave_others_their_slots(queue, executor):
    for task_type in ("sleep", "sleep", "sleep", "other", "other"):
        await queue.submit(Submission(task_type, "{}", None, 0, 60_000), LIMITS)
    limits = {"sleep": None, "other": None}
    for _ in range(2):
        claim = await queue.claim(1, limits, suspended_concurrency=2)
        assert claim.task_type == "sleep"
        await queue.note_waiting(claim.attempt_id, Reason(Obstacle.SUSPENDED, "no quota"))
    claim = await queue.claim(1, limits, suspended_concurrency=2)
    assert claim.task_type == "other", "of suspended types no more are started"
    assert await queue.claim(1, limits, suspended_concurrency=2) is None, "and the slots have their bound"


def _start_script():
    from runner import scripts

    return scripts.load("start")


async def test_a_node_that_refuses_is_given_a_moment(queue, executor, book, dispatcher, settler, monkeypatch):
    monkeypatch.setattr("api.core.ends.FIRST_UNBEGUN_PAUSE_SECONDS", 0)  # the task's own; the type's is tested here
    attempt_id = await started(queue, dispatcher)
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ENDED, cause=Cause.REFUSED, detail="OutOfcpu")
    await settler.settle_all()
    assert (await now(queue, attempt_id)).state is State.QUEUED
    assert not await start_one(dispatcher)
    monkeypatch.setattr("api.controller.starts.REST_SECONDS", 0)
    book.rest("sleep")
    assert await start_one(dispatcher)


async def test_while_the_cluster_cannot_be_asked_nothing_is_settled(queue, executor, dispatcher, settler, monkeypatch):
    monkeypatch.setattr("api.controller.settle.LONGEST_WAIT_SECONDS", 0.01)
    attempt_id = await started(queue, dispatcher)
    executor.shown.clear()
    executor.unavailable = [ExecutorUnavailable("no answer")] * 2
    sweeping = asyncio.create_task(settler.sweep(asyncio.Event()))
    async with asyncio.timeout(10):
        while executor.unavailable:
            assert (await now(queue, attempt_id)).state is State.STARTING
            await asyncio.sleep(0.001)
        await settler.settled.wait()
    await cancel(sweeping)
    assert (await now(queue, attempt_id)).state is State.QUEUED


def test_a_runner_finds_the_address_of_redis_in_the_file_that_it_is_given(tmp_path):
    (tmp_path / "redis-url").write_text("redis://:password@valkey\n")
    given = {
        "TASKPOST_REDIS_URL_FILE": str(tmp_path / "redis-url"),
        "TASKPOST_TASK_ID": "id",
        "TASKPOST_ATTEMPT": "1",
        "TASKPOST_TOKEN": "token",
    }
    assert read_attempt(given).redis_url == "redis://:password@valkey"
    with pytest.raises(EnvironmentInvalid, match="TASKPOST_REDIS_URL_FILE cannot be read"):
        read_attempt(given | {"TASKPOST_REDIS_URL_FILE": "/no/such"})
