"""Replies of the Lua verbs as typed values, and typed arguments as the flat lists that the verbs take. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from api.core.task import Delivery, PastAttempt, Reason, Task, TaskSummary, task_from_record
from api.core.task_types import NO_RETRIES
from api.queue.shapes import Counts
from runner.contract import DeliveryStatus, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.core.task_types import RetryRule
    from api.queue.shapes import Submission


def task_from_view(reply: Sequence[Any]) -> Task:
    """Return the task of a view: its id, its record as a flat list, its place in the queue, its next delivery try."""
    task_id, flat, position, due, past = reply
    texts = [text.decode() for text in flat]
    record = dict(zip(texts[::2], texts[1::2], strict=True))
    due_ms = None if due is None else int(due)
    return task_from_record(task_id.decode(), record, position, due_ms, tuple(map(_past_attempt, past)))


def queued_task(submission: Submission, task_id: str, created_ms: int, position: int) -> Task:
    """Return the task that a submission has just become: what a view would tell of it, without asking for one."""
    callback = DeliveryStatus.NONE if submission.result_url is None else DeliveryStatus.WAITING
    return Task(
        task_id=task_id,
        task_type=submission.task_type,
        state=State.QUEUED,
        priority=submission.priority,
        attempt=0,
        losses=0,
        percent_tenths=0,
        created_ms=created_ms,
        claimed_ms=None,
        started_ms=None,
        finished_ms=None,
        timeout_ms=submission.timeout_ms,
        result_url=submission.result_url,
        waiting=None,
        error=None,
        stop_asked=None,
        delivery=Delivery(status=callback, attempts=0, next_ms=None, last_error=None),
        queue_position=position,
    )


def _past_attempt(text: bytes) -> PastAttempt:
    attempt, ended_ms, code, message = json.loads(text)
    return PastAttempt(int(attempt), int(ended_ms), Reason(code, message))


def summary_from_row(row: Sequence[Any]) -> TaskSummary:
    """Return what a list shows of a task, from a row of Lua's `list`."""
    task_id, task_type, percent, state, created, finished, position = row
    return TaskSummary(
        task_id=task_id.decode(),
        task_type=task_type.decode(),
        state=State(state.decode()),
        percent_tenths=int(percent or 0),
        created_ms=int(created),
        finished_ms=None if finished is None else int(finished),
        queue_position=position,
    )


def counts_from_reply(reply: Sequence[Any]) -> Counts:
    """Return what an instance holds, from the reply of Lua's `counts`."""
    tasks, slots, totals, pending, dead, late_ms, tries = reply
    queued_bytes, kept_bytes, undelivered_bytes, results_dropped, log_bytes, idempotency_keys = map(int, totals)
    return Counts(
        tasks={(task_type.decode(), State(state.decode())): int(number) for task_type, state, number in tasks},
        slots={task_type.decode(): int(number) for task_type, number in slots},
        queued_bytes=queued_bytes,
        kept_bytes=kept_bytes,
        undelivered_bytes=undelivered_bytes,
        results_dropped=results_dropped,
        log_bytes=log_bytes,
        idempotency_keys=idempotency_keys,
        deliveries_pending=int(pending),
        deliveries_dead=int(dead),
        delivery_late_seconds=int(late_ms) / 1000,
        tries={DeliveryStatus(status.decode()): int(number) for status, number in tries},
    )


def type_rows(type_limits: Mapping[str, int | None], retries: Mapping[str, RetryRule]) -> Sequence[str | int]:
    """Return five arguments of Lua's `claim` for each type: name, limit (-1 for none), retries, pause, codes."""
    rows: list[str | int] = []
    for task_type, limit in type_limits.items():
        rule = retries.get(task_type, NO_RETRIES)
        codes = "".join(f",{code}" for code in rule.codes) + ","
        rows += [task_type, -1 if limit is None else limit, rule.retries, int(rule.pause_seconds * 1000), codes]
    return rows
