"""The answers while the queue is full: what is full, how full, and what to do. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from api.web.problems import Code, Problem

if TYPE_CHECKING:
    from api.queue.shapes import QueueLimits, Refused

RETRY_WHEN_FULL_SECONDS: Final = 5
RETRY_WHEN_UNDELIVERED_SECONDS: Final = 30


def refusal_of(refused: Refused, limits: QueueLimits) -> Problem:
    """Return the answer to a submission that was refused."""
    match refused.code:
        case "conflict":
            detail = f"This Idempotency-Key was used with another body, for task {refused.detail}."
            return Problem(409, Code.IDEMPOTENCY_CONFLICT, detail)
        case "expired":
            detail = f"This Idempotency-Key was used for task {refused.detail}, which is no longer kept."
            return Problem(410, Code.TASK_EXPIRED, detail)
        case "full_receiver" | "full_undelivered":
            return undelivered_full(refused.code, refused.detail, limits)
        case "full_keys":
            seconds = max(1, math.ceil(int(refused.detail) / 1000))
            detail = (
                f"{limits.max_keys} Idempotency-Keys are remembered, each for 24 hours: that is the limit. Submit "
                "without a key, or raise TASKPOST_IDEMPOTENCY_MAX_KEYS."
            )
            return _too_many(Code.IDEMPOTENCY_FULL, detail, seconds)
        case _:
            what = "tasks" if refused.code == "full_length" else "bytes of input"
            detail = f"{refused.detail} {what} wait already; the queue takes no more for now."
            return _too_many(Code.QUEUE_FULL, detail, RETRY_WHEN_FULL_SECONDS)


def undelivered_full(code: str, waiting_bytes: str, limits: QueueLimits) -> Problem:
    """Return the 429 for too many undelivered results: of one receiver, or (`full_undelivered`) of all."""
    if code == "full_receiver":
        whom, most, setting = "this receiver", limits.undelivered_max_bytes_per_receiver, "_PER_RECEIVER"
    else:
        whom, most, setting = "all receivers", limits.undelivered_max_bytes, ""
    detail = (
        f"{waiting_bytes} bytes of results wait for {whom}; with what the tasks accepted for them may still bring, the "
        f"bound of {most} bytes is reached. Repair the receiver, or give deliveries up "
        "(DELETE /api/tasks/{task_id}/delivery), or submit with result_url null and read the result by GET, or raise "
        f"TASKPOST_UNDELIVERED_MAX_BYTES{setting}."
    )
    return _too_many(Code.UNDELIVERED_FULL, detail, RETRY_WHEN_UNDELIVERED_SECONDS)


def _too_many(code: Code, detail: str, seconds: int) -> Problem:
    return Problem(429, code, detail, headers={"Retry-After": str(seconds)})
