"""The queue in Redis: one typed method for each Lua verb."""

from __future__ import annotations

import json
import secrets
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from api.core.observation import AttemptId
from api.core.task import Reason
from api.queue.batches import Batches
from api.queue.counters import CounterStore
from api.queue.deliveries import Deliveries
from api.queue.errors import QueueUnavailable, translated
from api.queue.logs import Logs
from api.queue.shapes import (
    Accepted,
    Claim,
    Dropped,
    Look,
    Page,
    Refused,
    Retained,
    Slot,
    SlotUse,
    StoredBody,
    digest,
)
from api.queue.views import counts_from_reply, queued_task, summary_from_row, task_from_view, type_rows
from runner import scripts
from runner.contract import REPLICA_TIMEOUT_MS, State, counted_code, key_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

    from api.core.observation import StopReason
    from api.core.task import Task
    from api.core.task_types import RetryRule
    from api.queue.shapes import Counts, QueueLimits, Retention, Submission

LUA_DIRECTORY: Final = Path(__file__).parent / "lua"
DEFAULT_CLIENT: Final = "default"
"""The queue is keyed by client from the start; until there are keys for clients there is one."""
IDEMPOTENCY_LIFETIME_SECONDS: Final = 24 * 3600
SWEEP_STEP: Final = 100
NO_LIMIT: Final = 1_000_000


class Queue:
    """All that the service does in Redis, for one instance.

    Every method raises `QueueUnavailable` if Redis fails; the leader's methods raise `NotLeading` if another leads.
    """

    def __init__(
        self,
        client: Redis,
        instance: str,
        *,
        owner: str = "",
        client_name: str = DEFAULT_CLIENT,
        min_replicas: int = 0,
    ) -> None:
        # Of the leader's lease: what dispatches and settles is refused while another has it. "" asks for no lease.
        self._owner = owner
        self._redis = client
        self._prefix = key_prefix(instance)
        self._client_name = client_name
        self._min_replicas = min_replicas
        self._scripts: dict[str, AsyncScript] = {
            path.stem: client.register_script(scripts.load(path.stem, path.parent))
            for path in (*LUA_DIRECTORY.glob("*.lua"), scripts.LUA_DIRECTORY / "report_delivery.lua")
        }
        self._submissions = Batches(client, self._scripts["submit"])
        self.deliveries = Deliveries(self._call)
        self.logs = Logs(self._call, owner)
        self.counters = CounterStore(self._call, owner)

    async def _call(self, verb: str, *arguments: str | bytes | int) -> Any:  # noqa: ANN401 - a reply of Redis
        with translated():
            return await self._scripts[verb](keys=[self._prefix], args=arguments)

    async def _call_replicated(self, verb: str, *arguments: str | bytes | int) -> Any:  # noqa: ANN401 - a reply
        """Call a verb whose effect must not be lost with one server: wait until enough replicas have it too."""
        if not self._min_replicas:
            return await self._call(verb, *arguments)
        with translated():
            async with self._redis.client() as connection:  # WAIT speaks of what its own connection has written
                reply = await self._scripts[verb](keys=[self._prefix], args=arguments, client=connection)
                replicas = await connection.wait(self._min_replicas, REPLICA_TIMEOUT_MS)
        if replicas < self._min_replicas:
            raise QueueUnavailable(f"Redis has {replicas} replicas in step of the {self._min_replicas} wanted")
        return reply

    async def now_ms(self) -> int:
        """Return Unix time in milliseconds by the wall clock of Redis."""
        with translated():
            seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def tick(self, source: str, monotonic_ms: int) -> int:
        """Advance the steady clock. Deadlines, leases, pauses and ages use it: steps of the wall clock change none.

        `monotonic_ms` is the time of the monotonic clock named `source`. Returns the steady clock in milliseconds.
        """
        return int(await self._call("tick", source, monotonic_ms))

    async def probe(self) -> None:
        """Write something, to see whether Redis takes it."""
        await self._call("probe")

    async def lead(self, owner: str, lease_seconds: float) -> bool:
        """Take or renew the leader's lease; False if another has it."""
        return bool(await self._call("lead", owner, int(lease_seconds * 1000)) == 1)

    async def leader(self) -> str | None:
        """Return the owner of the leader's lease, None if it is free."""
        found: bytes | None = await self._call("leader")
        return None if found is None else found.decode()

    async def resign(self, owner: str) -> None:
        """Give the leader's lease up, if it is the owner's."""
        await self._call("resign", owner)

    async def submit(self, submission: Submission, limits: QueueLimits) -> Accepted | Refused:
        """Put a task in the queue."""
        arguments = (
            self._client_name,
            submission.task_type,
            submission.priority,
            submission.result_url or "",
            submission.timeout_ms,
            submission.task_input,
            uuid.uuid4().hex[16:],
            limits.max_length,
            limits.max_bytes,
            limits.kept_max_bytes,
            limits.undelivered_max_bytes,
            limits.undelivered_max_bytes_per_receiver,
            digest(submission.idempotency_key),
            digest(submission.digest),
            IDEMPOTENCY_LIFETIME_SECONDS * 1000,
            limits.max_keys,
        )
        code, detail = await self._submit(arguments)
        if code == b"accepted":
            task_id, created_ms, position = detail
            return Accepted(queued_task(submission, task_id.decode(), int(created_ms), position), replayed=False)
        if code == b"replayed":
            return Accepted(task_from_view(detail), replayed=True)
        return Refused(code.decode(), detail.decode() if isinstance(detail, bytes) else str(detail))

    async def _submit(self, arguments: tuple[str | bytes | int, ...]) -> Any:  # noqa: ANN401 - a reply of Redis
        if self._min_replicas:
            return await self._call_replicated("submit", *arguments)
        with translated():
            return await self._submissions.call(self._prefix, *arguments)

    async def read(self, task_id: str) -> tuple[Task, SlotUse] | None:
        """Return a task and the slots in use beside it, or None if there is no such task."""
        reply = await self._call("read", task_id)
        if reply is None:
            return None
        view, total, of_type, held = reply
        return task_from_view(view), SlotUse(total, of_type, None if held is None else Reason(*json.loads(held)))

    async def look(self, task_id: str) -> Look:
        """Return a task and the time at one instant, for the leader: what it decides by them stays true."""
        now_ms, found = await self._call("look", task_id, self._owner)
        return Look(None if found is None else task_from_view(found), int(now_ms))

    async def read_body(self, task_id: str) -> StoredBody:
        """Return the stored body of a task's callback."""
        state, body, swept, dropped = await self._call("read_body", task_id)
        reason = None if dropped is None else dropped.decode()
        return StoredBody(None if state is None else State(state.decode()), body, swept == 1, reason)

    async def list(self, *, cursor: str | None, limit: int, states: Iterable[State], task_type: str | None) -> Page:
        """Return a page of tasks, newest first, that were submitted before the task `cursor`."""
        total, following, rows = await self._call("list", cursor or "", limit, ",".join(states), task_type or "")
        return Page(
            tuple(summary_from_row(row) for row in rows),
            int(total),
            following.decode() if following is not None else None,
        )

    async def claim(
        self,
        concurrency: int,
        type_limits: Mapping[str, int | None],
        retries: Mapping[str, RetryRule] | None = None,
        *,
        suspended_concurrency: int = NO_LIMIT,
    ) -> Claim | None:
        """Give a free slot to the most urgent task of the types named; None if no task waits or no slot is free.

        Suspended Jobs hold no slot. From `suspended_concurrency` of them on, their types get no further claim.
        """
        token = secrets.token_urlsafe(12)
        rows = type_rows(type_limits, retries or {})
        arguments = (self._client_name, concurrency, token, self._owner, suspended_concurrency)
        reply = await self._call("claim", *arguments, *rows)
        if reply is None:
            return None
        task_id, attempt, task_type_name, timeout_ms = reply
        return Claim(AttemptId(task_id.decode(), int(attempt)), task_type_name.decode(), token, int(timeout_ms))

    async def release(self, slot: Slot) -> bool:
        """Free the slot of an attempt that is over; False if it held none."""
        arguments = (slot.attempt_id.task_id, slot.attempt_id.attempt, slot.task_type, self._owner)
        return bool(await self._call("release", *arguments) == 1)

    async def requeue(
        self,
        attempt_id: AttemptId,
        reason: Reason,
        *,
        counts_as_loss: bool,
        is_retry: bool = False,
        never_started: bool = False,
        pause_seconds: float | None = None,
    ) -> bool:
        """Put a task back to its old place, a retry after its pause, and free the slot.

        With `pause_seconds` the attempt counts as lost before it began, and the next one follows after that pause.
        The number of an attempt that certainly was never started is given to the next one.
        Returns False if the attempt is not the current one.
        """
        kind = "unstarted" if never_started else "retry" if is_retry else "loss" if counts_as_loss else ""
        if pause_seconds is not None:
            kind = "unbegun"
        arguments = (attempt_id.task_id, attempt_id.attempt, kind, reason.code, reason.message)
        pause_ms = int((pause_seconds or 0) * 1000)
        return bool(await self._call("requeue", *arguments, self._owner, pause_ms) == 1)

    async def hold(self, held: Mapping[str, Reason]) -> None:
        """Record which types are paused now, each with the reason shown while their tasks wait."""
        rows = [word for name, reason in held.items() for word in (name, json.dumps([reason.code, reason.message]))]
        await self._call("hold", self._owner, *rows)

    async def note_waiting(self, attempt_id: AttemptId, reason: Reason | None) -> None:
        """Keep why an attempt that is starting has not begun yet; None if nothing is known to be in its way."""
        code, message = ("", "") if reason is None else (reason.code, reason.message)
        await self._call("note_waiting", attempt_id.task_id, attempt_id.attempt, code, message, self._owner)

    async def suspend(self, attempt_id: AttemptId, reason: Reason, *, released: bool) -> None:
        """Move a suspended attempt back to `starting` and clear its holder, so only a new runner can begin it.

        Its slot is for others until its Job is released, unless that has happened already.
        """
        arguments = (attempt_id.task_id, attempt_id.attempt, reason.code, reason.message, int(released))
        await self._call("suspend", *arguments, self._owner)

    async def stopping(self, attempt_id: AttemptId, reason: StopReason) -> None:
        """Record that an attempt is about to be ended by us, and why: nobody takes it for somebody else's doing."""
        await self._call("stopping", attempt_id.task_id, attempt_id.attempt, reason, self._owner)

    async def begin(self, attempt_id: AttemptId) -> bool:
        """Say that an attempt runs, whose runner cannot; False if it is not the current one, or does already."""
        return bool(await self._call("begin", attempt_id.task_id, attempt_id.attempt, self._owner) == 1)

    async def read_staged(self, task_id: str) -> bytes | None:
        """Return the result that was handed over for a task, as JSON."""
        found: bytes | None = await self._call("read_staged", task_id)
        return found

    async def conclude(self, task: Task, outcome: State, error: Reason | None, body: bytes, finished_ms: int) -> bool:
        """End a task that is still as `task` says (state and attempt); False if it has moved on."""
        code, message = ("", "") if error is None else (error.code, error.message)
        arguments = (task.task_id, task.state.value, task.attempt, outcome.value, code, message)
        # Anybody may cancel; only the leader says that a task failed.
        owner = "" if outcome is State.CANCELLED else self._owner
        return bool(await self._call("conclude", *arguments, body, finished_ms, owner, counted_code(code)) == 1)

    async def slots(self) -> Sequence[Slot]:
        """Return every attempt that holds a slot."""
        return [
            Slot(AttemptId(task_id.decode(), int(attempt)), task_type.decode())
            for task_id, attempt, task_type in await self._call("slots")
        ]

    async def sweep(self, retention: Retention) -> Retained:
        """Forget a few ended tasks that are past their retention; drop results and logs that exceed their bounds."""
        age_ms = int(retention.max_age_seconds * 1000)
        limits = (retention.max_count, retention.max_bytes, retention.max_log_bytes, SWEEP_STEP)
        forgotten, dropped, *numbers = await self._call("sweep", age_ms, *limits)
        return Retained(int(forgotten), tuple(Dropped(*json.loads(one)) for one in dropped), *map(int, numbers))

    async def counts(self) -> Counts:
        """Count what the instance holds."""
        return counts_from_reply(await self._call("counts", self._client_name))
