"""What is kept of the output of attempts, in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.core.log_tail import LogTail
from api.queue.errors import QueueFullError
from runner.contract import State, log_entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from api.core.observation import AttemptId


@dataclass(frozen=True, slots=True)
class StoredLog:
    """What is kept of a task's log.

    `attempt` is the newest attempt, 0 before the first, and `unfinished` says that it holds its slot: its log is yet to
    come. `attempts` are the logs by attempt; one that wrote nothing has none. `dropped`: logs of the task were deleted,
    because those of all tasks were too large.
    """

    state: State
    task_type: str
    attempt: int
    unfinished: bool
    attempts: Mapping[int, LogTail]
    dropped: bool


class Logs:
    """Keeps logs and reads them. `call` runs a Lua script by its name; `owner` is the one of the leader's lease."""

    def __init__(self, call: Callable[..., Awaitable[Any]], owner: str) -> None:
        self._call = call
        self._owner = owner

    async def keep(
        self, attempt_id: AttemptId, log: LogTail, max_bytes: int, *, replace: bool, whole: bool = False
    ) -> bool:
        """Keep the log of an attempt, within `max_bytes` for the logs of all tasks: the oldest are deleted.

        Without `replace` an earlier log of the attempt stays. `whole` means that the log is complete: the task
        records the attempt in `Task.logged`. Returns False if nothing was kept: the log is empty, an earlier one stays,
        the task no longer exists, or Redis has no memory left.

        Raises:
            NotLeading: if another service leads.
        """
        entry = log_entry(log.data, truncated=log.truncated, note=log.note)
        return await self._keep(attempt_id, entry, max_bytes, replace=replace, whole=whole)

    async def make_room(self, attempt_id: AttemptId, max_bytes: int) -> None:
        """Delete the oldest logs above the bounds, after a runner has handed over the one of an attempt.

        Raises:
            NotLeading: if another service leads.
        """
        await self._keep(attempt_id, b"", max_bytes, replace=False, whole=False)

    async def _keep(self, attempt_id: AttemptId, entry: bytes, max_bytes: int, *, replace: bool, whole: bool) -> bool:
        identity = (attempt_id.task_id, attempt_id.attempt)
        try:
            reply = await self._call("keep_log", *identity, entry, int(replace), max_bytes, self._owner, int(whole))
        except QueueFullError:
            return False
        return bool(reply == 1)

    async def read(self, task_id: str) -> StoredLog | None:
        """Return what is kept of a task's log, None if there is no such task."""
        reply = await self._call("read_log", task_id)
        if reply is None:
            return None
        state, task_type, attempt, holds, flat, dropped = reply
        entries = {int(name): entry for name, entry in zip(flat[::2], flat[1::2], strict=True) if name.isdigit()}
        return StoredLog(
            state=State(state.decode()),
            task_type=task_type.decode(),
            attempt=int(attempt),
            unfinished=holds == 1,
            attempts={number: _unpack(entries[number]) for number in sorted(entries)},
            dropped=dropped == 1,
        )


def _unpack(entry: bytes) -> LogTail:
    """Return the log from an entry that `contract.log_entry` has made."""
    head, _, data = entry.partition(b"\n")
    text = head.decode("utf-8", "replace")
    return LogTail(data, text.startswith("1"), text[1:])
