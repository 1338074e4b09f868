"""The state of starts, in one place: the dispatcher and the reconciler are both handed it.

An attempt is here from its claim until its start is over. No executor can observe it meanwhile, so the reconciler
leaves it alone. What is neither here nor seen by the executor has been lost, and the reconciler puts it back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from api.core.probing import STARTS_OF_A_TYPE, Starts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from api.core.observation import AttemptId
    from api.core.task import Reason
    from api.queue.shapes import Claim, Slot

REST_SECONDS: Final = 5.0
"""How long a task type pauses after a quota rejection; other types keep running."""
AT_A_TIME: Final = 32
"""How many starts may be in progress, of all types: a cluster may answer slowly."""


class StartBook:
    """The starts under way, the lock of claims, and how the starts of each type went."""

    def __init__(self) -> None:
        self._starting: dict[AttemptId, str] = {}
        self._claiming = asyncio.Lock()
        self._starts = Starts()
        self._over = asyncio.Event()

    @property
    def starting(self) -> AbstractSet[AttemptId]:
        """The attempts whose start is under way."""
        return self._starting.keys()

    async def claim(self, claim: Callable[[], Awaitable[Claim | None]]) -> Claim | None:
        """Claim an attempt and note it as starting, in one step with respect to `slots`."""
        async with self._claiming:
            claimed = await claim()
            if claimed is not None:
                self._starting[claimed.attempt_id] = claimed.task_type
            return claimed

    async def slots(self, read: Callable[[], Awaitable[Sequence[Slot]]]) -> tuple[Sequence[Slot], frozenset[AttemptId]]:
        """Return the slots, and the attempts that were starting when they were read.

        What holds a slot and was not starting has been started, or never will be: an executor that is asked after this
        tells which. Claims wait for this one call of Redis, and for no other.
        """
        async with self._claiming:
            return await read(), frozenset(self._starting)

    def over(self, attempt_id: AttemptId) -> None:
        """Note that a start is over, however it went."""
        self._starting.pop(attempt_id, None)
        self._over.set()

    async def wait_until_none(self, seconds: float) -> None:
        """Wait until no claim and no start is in progress, for at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async with self._claiming:
                    pass
                while self._starting:
                    self._over.clear()
                    await self._over.wait()

    def limits(self, type_limits: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return the slots by type, for all types that may start an attempt now."""
        if len(self._starting) >= AT_A_TIME:
            return {}
        return self._starts.limits(type_limits, _now(), Counter(self._starting.values()))

    def is_at_limit(self, task_type: str) -> bool:
        """Return whether the end of a start of this type may let another one begin."""
        number = sum(1 for name in self._starting.values() if name == task_type)
        return len(self._starting) >= AT_A_TIME or self._starts.is_failing(task_type) or number >= STARTS_OF_A_TYPE

    def seconds_until_next(self) -> float | None:
        """Return the time until the next pause of a type is over, None if none pauses."""
        end = self._starts.next_end(_now())
        return None if end is None else max(end - _now(), 0.0)

    def held(self) -> dict[str, Reason]:
        """Return the types that are paused or start fewer attempts than their slots allow, each with the reason."""
        return self._starts.held(_now())

    def rest(self, task_type: str, message: str = "") -> None:
        """Pause the starts of a type for a moment, after a quota rejection."""
        self._starts.rest(task_type, _now() + REST_SECONDS, message)

    def succeeded(self, task_type: str) -> bool:
        """Note that an attempt of a type was started; return whether more may be started now than before."""
        return self._starts.succeeded(task_type)

    def unanswered(self, task_type: str, message: str) -> None:
        """Note that a start is still in progress without an answer."""
        self._starts.unanswered(task_type, message, _now())

    def failed(self, task_type: str, message: str, *, began_seconds: float) -> None:
        """Note that a start which began then failed."""
        self._starts.failed(task_type, message, began_seconds=began_seconds, now_seconds=_now())

    def note(self, task_type: str, attempt_id: AttemptId, claimed_ms: int, *, cannot_start: bool) -> None:
        """Note whether a started attempt can begin now."""
        self._starts.note(task_type, attempt_id, claimed_ms, cannot_start=cannot_start)


def _now() -> float:
    return asyncio.get_running_loop().time()
