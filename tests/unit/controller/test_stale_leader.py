"""A leader that slept past its lease: whatever it was about to do, it does nothing of it."""

from __future__ import annotations

import pytest

from api.controller.dispatch import Dispatcher
from api.controller.settle import Settler
from api.controller.starts import StartBook
from api.core.decisions import Limits
from api.core.log_tail import LogTail
from api.core.observation import AttemptId, Observation, Phase, StopReason
from api.core.task import Reason
from api.queue.errors import NotLeading
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Slot, Submission
from runner.contract import State
from tests.support.definitions import definitions

LIMITS = QueueLimits(100, 10_000)
SUBMISSION = Submission("sleep", "{}", None, 0, 60_000)
REASON = Reason("code", "message")


class RecordingExecutor:
    """Shows one attempt, and keeps what is asked of it."""

    ends_with_service = False

    def __init__(self):
        self.asked = []
        self.shown = []

    async def start(self, spec):
        self.asked.append(("start", spec.attempt_id))

    async def stop(self, attempt_id, reason):
        self.asked.append(("stop", attempt_id, reason))

    async def forget(self, attempt_id):
        self.asked.append(("forget", attempt_id))

    async def refresh(self):
        pass

    async def list(self):
        return self.shown


@pytest.fixture
async def old(redis_client, instance):
    queue = Queue(redis_client, instance, owner="old")
    assert await queue.lead("old", 10)
    return queue


@pytest.fixture
async def slot(old):
    """An attempt that the old leader started."""
    await old.submit(SUBMISSION, LIMITS)
    claim = await old.claim(9, {"sleep": None})
    return Slot(claim.attempt_id, claim.task_type)


@pytest.fixture
def executor():
    return RecordingExecutor()


@pytest.fixture
def settler(old, executor):
    return Settler(old, executor, StartBook(), Limits(3, 600, 3600))


async def leadership_passes(queue):
    await queue.resign("old")
    assert await queue.lead("new", 10)


async def test_it_is_told_so_by_every_verb_of_the_leader_s(old, slot):
    task = (await old.look(slot.attempt_id.task_id)).task
    await leadership_passes(old)
    for call in (
        old.claim(9, {"sleep": None}),
        old.look(task.task_id),
        old.release(slot),
        old.requeue(slot.attempt_id, REASON, counts_as_loss=True),
        old.suspend(slot.attempt_id, REASON, released=False),
        old.stopping(slot.attempt_id, StopReason.DEADLINE),
        old.note_waiting(slot.attempt_id, REASON),
        old.conclude(task, State.FAILED, REASON, b"{}", 5),
        old.logs.keep(slot.attempt_id, LogTail(b"text"), 1000, replace=True),
    ):
        with pytest.raises(NotLeading):
            await call
    assert (await old.read(task.task_id))[0] == task
    assert await old.slots() == [slot]
    assert await old.conclude(task, State.CANCELLED, REASON, b"{}", 5), "to cancel is anybody's"


@pytest.mark.parametrize("phase", [Phase.ALIVE, Phase.ENDED, Phase.GONE])
async def test_it_neither_settles_nor_ends_what_its_successor_has(old, slot, settler, executor, phase):
    executor.shown = [Observation(slot.attempt_id, phase)]
    await leadership_passes(old)
    with pytest.raises(NotLeading):
        await settler.settle_all()
    executor.shown = [Observation(AttemptId("another", 1), phase)]
    with pytest.raises(NotLeading):
        await settler.settle_all()
    assert executor.asked == []


@pytest.mark.parametrize("phase", [Phase.ENDED, Phase.GONE])
async def test_what_it_has_judged_already_is_refused_and_nothing_is_deleted(old, slot, settler, executor, phase):
    look = await old.look(slot.attempt_id.task_id)
    await leadership_passes(old)
    with pytest.raises(NotLeading):
        await settler._applier.settle(slot, Observation(slot.attempt_id, phase, exit_code=1), look)
    assert executor.asked == []


async def test_it_starts_nothing(old, executor):
    await old.submit(SUBMISSION, LIMITS)
    await leadership_passes(old)
    dispatcher = Dispatcher(old, executor, StartBook(), concurrency=9, types=definitions("sleep"), environment={})
    with pytest.raises(NotLeading):
        await dispatcher.start_next()
    assert executor.asked == []


async def test_a_successor_knows_what_it_was_about_to_end(redis_client, instance, old, slot):
    await old.stopping(slot.attempt_id, StopReason.DEADLINE)
    await leadership_passes(old)
    new = Queue(redis_client, instance, owner="new")
    assert (await new.look(slot.attempt_id.task_id)).task.stop_asked is StopReason.DEADLINE
    await new.requeue(slot.attempt_id, REASON, counts_as_loss=False)
    assert (await new.look(slot.attempt_id.task_id)).task.stop_asked is None
