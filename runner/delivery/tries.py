"""What is kept of each try of a delivery: written by whoever made it, read by the service, opaque to Redis. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.delivery.post import Try
    from runner.delivery.receiver import Standing


@dataclass(frozen=True, slots=True)
class Sent:
    """A try that was made: by the `runner` or the `service`, when (Unix time), and how it ended.

    `standing` and `account` say what its receiver is like. One that was cut short `counts` for nothing in the schedule.
    """

    by: str
    at_seconds: float
    result: Try
    standing: Standing | None = None
    account: str = ""
    counts: bool = True


@dataclass(frozen=True, slots=True)
class PastTry:
    """A try as it is kept. `at_ms` is Unix time; `status` is the answer's, None if there was none."""

    at_ms: int
    duration_ms: int
    by: str
    status: int | None
    error: str | None


def encode(sent: Sent) -> str:
    """Return a try as a short text: a good one fits in 64 bytes, in which Redis keeps it for least."""
    result = sent.result
    fields = [int(sent.at_seconds * 1000), round(result.duration_seconds * 1000), sent.by, result.status]
    return json.dumps([*fields, result.error] if result.error else fields, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> PastTry:
    """Read what `encode` wrote."""
    at_ms, duration_ms, by, status, *error = json.loads(text)
    return PastTry(at_ms, duration_ms, by, status, error[0] if error else None)


def report_arguments(task_id: str, token: str, status: str, delay_seconds: float, sent: Sent) -> tuple[str | int, ...]:
    """Return the arguments of the verb `report_delivery`."""
    result = sent.result
    ended = (status, int(delay_seconds * 1000), result.error or "", encode(sent), result.answer)
    return task_id, token, *ended, sent.standing or "", sent.account, int(sent.counts)
