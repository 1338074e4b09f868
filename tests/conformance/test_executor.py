"""What every executor does, by its interface alone. A place gives an executor, programs to run, and a look at them."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

import pytest

from api.core.observation import AttemptId, Observation, Phase, StopReason
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.executors.base import AttemptSpec, Executor

UNKNOWN = AttemptId("unknown", 1)


class Place(Protocol):
    executor: Executor

    def spec(self, task_id: str, program: str, attempt: int = 1, **environment: str) -> AttemptSpec: ...
    async def begun(self, spec: AttemptSpec) -> None: ...
    async def nothing_left(self, spec: AttemptSpec) -> bytes: ...
    async def reopen(self) -> None: ...


async def over(place: Place, attempt_id: AttemptId) -> Observation:
    """Wait until `watch` tells that an attempt is over, and see that `list` tells the same."""
    async with asyncio.timeout(30), aclosing(place.executor.watch()) as observations:
        async for observation in observations:
            assert observation.phase is not Phase.ALIVE
            if observation.attempt_id == attempt_id:
                break
    assert await seen(place, attempt_id) == observation
    return observation


async def listed(place: Place) -> Sequence[Observation]:
    await place.executor.refresh()
    return await place.executor.list()


async def seen(place: Place, attempt_id: AttemptId) -> Observation | None:
    observations = {observation.attempt_id: observation for observation in await listed(place)}
    return observations.get(attempt_id)


async def started(place: Place, task_id: str, program: str, attempt: int = 1) -> AttemptSpec:
    spec = place.spec(task_id, program, attempt)
    await place.executor.start(spec)
    await place.begun(spec)
    return spec


async def test_a_check_starts_nothing(place: Place) -> None:
    assert await place.executor.check()
    assert place.executor.attempt_kind in {"jobs", "processes"}
    assert list(await listed(place)) == []


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_exit_code_is_seen(place: Place, code: int) -> None:
    spec = await started(place, "task", f"exit {code}")
    observation = await over(place, spec.attempt_id)
    assert (observation.phase, observation.exit_code, observation.signal) == (Phase.ENDED, code, None)
    assert observation.stop_asked is None


async def test_death_by_signal_is_seen(place: Place) -> None:
    spec = await started(place, "task", f"die {int(signal.SIGKILL)}")
    observation = await over(place, spec.attempt_id)
    assert observation.phase is Phase.ENDED
    assert observation.signal == signal.SIGKILL or observation.exit_code == 128 + signal.SIGKILL


async def test_a_running_attempt_is_alive(place: Place) -> None:
    spec = await started(place, "task", "pause")
    assert await listed(place) == (Observation(spec.attempt_id, Phase.ALIVE),)
    await place.executor.stop(spec.attempt_id, StopReason.SHUTDOWN)
    await over(place, spec.attempt_id)


async def test_each_attempt_is_told_of_by_itself(place: Place) -> None:
    first = await started(place, "task", "pause")
    specs = [await started(place, "task", "exit 0", attempt=2), await started(place, "other", "exit 4")]
    ends = {}
    async with asyncio.timeout(30), aclosing(place.executor.watch()) as observations:
        while len(ends) < len(specs):
            observation = await anext(observations)
            ends[observation.attempt_id] = observation.exit_code
    assert ends == {specs[0].attempt_id: 0, specs[1].attempt_id: 4}
    assert await seen(place, first.attempt_id) == Observation(first.attempt_id, Phase.ALIVE)
    await place.executor.stop(first.attempt_id, StopReason.CANCELLED)
    await over(place, first.attempt_id)


async def test_started_twice_it_runs_once(place: Place) -> None:
    spec = await started(place, "task", "pause")
    await place.executor.start(spec)
    assert len(await listed(place)) == 1
    await place.executor.stop(spec.attempt_id, StopReason.CANCELLED)
    await over(place, spec.attempt_id)
    await place.executor.start(spec)
    assert await place.nothing_left(spec) == b""


async def test_stop_ends_it_and_the_first_reason_stays(place: Place) -> None:
    spec = await started(place, "task", "pause")
    await place.executor.stop(spec.attempt_id, StopReason.DEADLINE)
    await place.executor.stop(spec.attempt_id, StopReason.CANCELLED)
    asked = await seen(place, spec.attempt_id)
    assert asked is not None
    assert asked.stop_asked is StopReason.DEADLINE
    observation = await over(place, spec.attempt_id)
    assert observation.stop_asked is StopReason.DEADLINE
    assert observation.signal == signal.SIGTERM or observation.exit_code == 128 + signal.SIGTERM


async def test_what_ignores_term_is_killed_after_the_grace_period(place: Place) -> None:
    spec = await started(place, "task", "stubborn")
    await place.executor.stop(spec.attempt_id, StopReason.CANCELLED)
    observation = await over(place, spec.attempt_id)
    assert observation.signal == signal.SIGKILL or observation.exit_code == 128 + signal.SIGKILL


@pytest.mark.parametrize("program", ["parent", "fork", "parent stubborn"])
async def test_stop_ends_all_that_it_started(place: Place, program: str) -> None:
    spec = await started(place, "task", program)
    await place.executor.stop(spec.attempt_id, StopReason.CANCELLED)
    await over(place, spec.attempt_id)
    await place.nothing_left(spec)


async def test_what_it_leaves_behind_ends_with_it(place: Place) -> None:
    spec = await started(place, "task", "leave stubborn")
    observation = await over(place, spec.attempt_id)
    assert observation.exit_code == 0
    await place.nothing_left(spec)


async def test_stop_after_the_end_changes_nothing(place: Place) -> None:
    spec = await started(place, "task", "exit 1")
    observation = await over(place, spec.attempt_id)
    await place.executor.stop(spec.attempt_id, StopReason.CANCELLED)
    assert await seen(place, spec.attempt_id) == observation


async def test_an_unknown_attempt_is_no_error(place: Place) -> None:
    await place.executor.stop(UNKNOWN, StopReason.CANCELLED)
    await place.executor.forget(UNKNOWN)
    assert not await listed(place)


async def test_what_is_forgotten_stays_forgotten(place: Place) -> None:
    spec = await started(place, "task", "exit 0")
    await over(place, spec.attempt_id)
    await place.executor.forget(spec.attempt_id)
    assert not await listed(place)
    await place.reopen()
    assert not await listed(place)


async def test_the_end_of_its_output_is_kept(place: Place) -> None:
    spec = await started(place, "task", "write its last words")
    assert (await over(place, spec.attempt_id)).log_tail.strip() == "its last words"


async def test_its_log_can_be_read_while_it_runs_and_when_it_is_over(place: Place) -> None:
    running = await started(place, "running", "talk hello")

    async def told() -> bool:
        return b"hello\n" in (await place.executor.read_log(running.attempt_id)).data

    await until(told)
    over_by_now = await started(place, "over", "write its last words")
    await over(place, over_by_now.attempt_id)
    log = await place.executor.read_log(over_by_now.attempt_id)
    assert b"its last words\n" in log.data
    assert (log.truncated, log.note) == (False, "")
    await place.executor.stop(running.attempt_id, StopReason.CANCELLED)
    await over(place, running.attempt_id)


async def test_an_attempt_that_is_not_known_has_an_empty_log(place: Place) -> None:
    log = await place.executor.read_log(UNKNOWN)
    assert (log.data, log.note) == (b"", "")


async def test_it_is_given_its_environment(place: Place) -> None:
    spec = place.spec("task", "show GREETING", GREETING="hello")
    await place.executor.start(spec)
    assert (await over(place, spec.attempt_id)).log_tail.strip() == "hello"


async def test_what_runs_when_the_service_ends_is_found_by_the_next(place: Place) -> None:
    spec = await started(place, "task", "parent")
    await place.reopen()
    assert await listed(place) == (Observation(spec.attempt_id, Phase.ALIVE),)
    await place.executor.start(spec)
    await place.executor.stop(spec.attempt_id, StopReason.SHUTDOWN)
    observation = await over(place, spec.attempt_id)
    assert observation.stop_asked is StopReason.SHUTDOWN
    assert await place.nothing_left(spec) == b""


async def test_what_ends_while_there_is_no_service_is_found_by_the_next(place: Place) -> None:
    spec = await started(place, "task", "exit 0")
    await over(place, spec.attempt_id)
    await place.reopen()
    assert (await over(place, spec.attempt_id)).phase is not Phase.ALIVE
    await place.executor.forget(spec.attempt_id)
    assert not await listed(place)


async def test_watch_ends_when_it_is_closed(place: Place) -> None:
    async with asyncio.timeout(30):
        await place.executor.close()
        assert [observation async for observation in place.executor.watch()] == []
