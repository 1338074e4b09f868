"""What is kept of each try of a delivery: written by whoever made it, read by the service, opaque to Redis. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.delivery.verdict import to_be_shown

if TYPE_CHECKING:
    from runner.delivery.receiver import Standing
    from runner.delivery.verdict import Try


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
    """A try as it is kept. `at_ms` is Unix time; `status` is the answer's, None if there was none.

    Of one whose answer is not to be shown neither the duration nor the status is kept.
    """

    at_ms: int
    duration_ms: int | None
    by: str
    status: int | None
    error: str | None


def encode(sent: Sent) -> str:
    """Return a try as a short text: a good one fits in 64 bytes, in which Redis keeps it for least."""
    result = to_be_shown(sent.result)
    duration_ms = None if result.omitted else round(result.duration_seconds * 1000)
    fields = [int(sent.at_seconds * 1000), duration_ms, sent.by, result.status]
    return json.dumps([*fields, result.error] if result.error else fields, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> PastTry:
    """Read what `encode` wrote."""
    at_ms, duration_ms, by, status, *error = json.loads(text)
    return PastTry(at_ms, duration_ms, by, status, error[0] if error else None)


def report_arguments(task_id: str, token: str, status: str, delay_seconds: float, sent: Sent) -> tuple[str | int, ...]:
    """Return the arguments of the verb `report_delivery`."""
    result = to_be_shown(sent.result)
    ended = (status, int(delay_seconds * 1000), result.error or "", encode(sent), result.answer)
    return task_id, token, *ended, sent.standing or "", sent.account, int(sent.counts)
