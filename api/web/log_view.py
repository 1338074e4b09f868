"""Serializes the log of a task for clients. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.core.log_tail import LogTail

if TYPE_CHECKING:
    from api.queue.logs import StoredLog

NOT_KEPT: Final = "Logs are not kept: TASKPOST_RETENTION_LOG_MAX_BYTES is 0"
DROPPED: Final = "Its output is no longer kept: the logs of all tasks took more than TASKPOST_RETENTION_LOG_MAX_BYTES"


def log_view(task_id: str, stored: StoredLog, running: LogTail | None, *, keeps_logs: bool) -> dict[str, Any]:
    """Return the log of a task, attempt by attempt. `running` is what its attempt that runs has written so far.

    The newest attempt is always there. An earlier one that wrote nothing is left out. Without `keeps_logs` no
    output is shown.
    """
    attempts = dict(stored.attempts) if keeps_logs else {}  # those kept before will be deleted
    if running is not None and (running.data or stored.attempt not in attempts):
        attempts[stored.attempt] = running
    if stored.attempt and stored.attempt not in attempts:
        note = NOT_KEPT if not keeps_logs else DROPPED if stored.dropped else ""
        attempts[stored.attempt] = LogTail(note=note)
    return {
        "task_id": task_id,
        "task_type": stored.task_type,
        "task_status": stored.state.value,
        "attempts": [
            _attempt_view(number, attempts[number], complete=not (stored.unfinished and number == stored.attempt))
            for number in sorted(attempts)
        ],
    }


def _attempt_view(number: int, log: LogTail, *, complete: bool) -> dict[str, Any]:
    return {
        "attempt": number,
        "output": log.data.decode("utf-8", "replace"),
        "truncated": log.truncated,
        "complete": complete,
        "note": log.note or None,
    }
