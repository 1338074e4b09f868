"""One attempt from its start to its first delivery try."""

from __future__ import annotations

import random
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from runner import scripts
from runner.contract import (
    RUNNER_DELIVERY_END_SECONDS,
    RUNNER_DELIVERY_TIMEOUT_SECONDS,
    DeliveryStatus,
    delivery_id,
    log_entry,
    outcome_body,
)
from runner.exits import exit_code_of
from runner.texts import say
from runner.workspace import Workspace

if TYPE_CHECKING:
    from runner.attempt import Attempt
    from runner.copier import OutputCopy
    from runner.delivery.post import Sender, Try
    from runner.outcome import Outcome
    from runner.report import Report, Started

GIVE_WAY_SECONDS: Final = 0.2
"""How much longer than its limit an attempt may take to report its outcome."""


def main(output: OutputCopy | None = None) -> int:
    """Run the attempt that the environment names; return the exit code (`runner.contract.EXIT_*`).

    `output` has what this process writes, to be handed over with the outcome.
    """
    sys.set_int_max_str_digits(0)
    return exit_code_of(lambda attempt, report: _run(attempt, report, output))


def _run(attempt: Attempt, report: Report, output: OutputCopy | None) -> None:
    started = report.start()
    began = time.monotonic()
    outcome = _compute(attempt, report, started)
    finished_ms = max(started.started_ms, started.now_ms + int((time.monotonic() - began) * 1000))
    body = outcome_body(
        task_id=attempt.task_id,
        task_type=started.task_type,
        status=outcome.state,
        result_json=outcome.result_json,
        error=outcome.error,
        attempt=attempt.number,
        created_ms=started.created_ms,
        started_ms=started.started_ms,
        finished_ms=finished_ms,
    )
    until = began + started.left_ms / 1000
    if started.result_url is not None:
        with suppress(Exception):  # the task may have used up a resource; a failed import fails again later, alone
            _import_delivery()
    is_ours = report.finish(outcome, body, finished_ms, until=until, log=_log(output))
    if is_ours and started.result_url is not None:
        _deliver_in_time(attempt, report, started.result_url, body)


def _log(output: OutputCopy | None) -> bytes | None:
    written = None if output is None else output.end()
    return None if written is None else log_entry(written[0], truncated=written[1])


def _compute(attempt: Attempt, report: Report, started: Started) -> Outcome:
    if attempt.command:
        from runner.command import compute  # noqa: PLC0415 - for those alone that have a command
    else:
        from runner.function import compute  # noqa: PLC0415 - while `start` is on record

    scripts.load("finish")  # while there are descriptors: a task may use them up
    workspace = Workspace()
    outcome = compute(attempt, report, started)
    workspace.empty()
    return outcome


def _import_delivery() -> None:
    """Import what a delivery needs, before the outcome is on record: then its callback leaves at once."""
    import runner.delivery.post  # noqa: F401, PLC0415


def _deliver_in_time(attempt: Attempt, report: Report, url: str, body: bytes) -> None:
    """Make the first delivery attempt, for no longer than it may hold a slot, whatever hangs."""
    import threading  # noqa: PLC0415 - for those alone that have a delivery to make

    delivering = threading.Thread(target=_deliver, args=(attempt, report, url, body), name="deliver", daemon=True)
    try:
        delivering.start()
    except RuntimeError as error:
        say(f"the delivery is left to the service: {error}")
        return
    delivering.join(RUNNER_DELIVERY_END_SECONDS)
    if delivering.is_alive():
        say("the delivery is left to the service: the attempt, or Redis, takes too long")


def _deliver(attempt: Attempt, report: Report, url: str, body: bytes) -> None:
    import asyncio  # noqa: PLC0415

    import redis  # noqa: PLC0415

    from runner.delivery.receiver import standing_of  # noqa: PLC0415
    from runner.delivery.schedule import judge  # noqa: PLC0415
    from runner.delivery.tries import Sent  # noqa: PLC0415

    try:
        sender = _sender(attempt)
    except (OSError, ValueError) as fault:
        say(f"the delivery is left to the service: {fault}")
        return
    began_seconds = time.time()
    result, account = asyncio.run(_post(sender, url, delivery_id(attempt.task_id), body, began_seconds))
    counts = result.blocked or result.status is not None or result.duration_seconds < RUNNER_DELIVERY_TIMEOUT_SECONDS
    if counts:
        status, delay_seconds = judge(result, 1, random.random(), attempt.callback_retry_seconds)  # noqa: S311 - a jitter
    else:  # the service has more time for it, so nothing of the schedule is used up
        status, delay_seconds = DeliveryStatus.PENDING, 0.0
    try:
        report.delivery(
            status, delay_seconds, Sent("runner", began_seconds, result, standing_of(result), account, counts)
        )
    except redis.RedisError as fault:
        say(f"the delivery try could not be reported, so it may be made again: {fault}")


async def _post(sender: Sender, url: str, name: str, body: bytes, now_seconds: float) -> tuple[Try, str]:
    """Return how the attempt ended, and the account that it counts under."""
    import asyncio  # noqa: PLC0415

    from runner.delivery.post import Try  # noqa: PLC0415
    from runner.delivery.receiver import account_of, account_of_name, on_connecting  # noqa: PLC0415
    from runner.delivery.target import parse  # noqa: PLC0415

    accounts = [""]
    with suppress(ValueError):
        accounts = [account_of_name(parse(url).host)]
    on_connecting(lambda address: accounts.append(account_of(address)))
    limit = RUNNER_DELIVERY_TIMEOUT_SECONDS
    try:
        async with asyncio.timeout(limit + GIVE_WAY_SECONDS):
            result = await sender.post(url, name, body, now_seconds=now_seconds, timeout_seconds=limit)
    except TimeoutError:
        result = Try(f"no answer within {limit:g} second", duration_seconds=limit, omitted=sender.omits)
    return result, accounts[-1]


def _sender(attempt: Attempt) -> Sender:
    from runner.delivery.guard import Policy  # noqa: PLC0415
    from runner.delivery.post import Sender  # noqa: PLC0415
    from runner.delivery.sign import parse_keys  # noqa: PLC0415
    from runner.delivery.tls import Tls, TlsFiles  # noqa: PLC0415

    keys = parse_keys(attempt.signing_key_texts())
    files = TlsFiles(attempt.callback_ca_file, attempt.callback_certificate_file, attempt.callback_key_file)
    policy = Policy.from_json(attempt.callback_policy) if attempt.callback_policy else Policy()
    proxy, keep_answers = attempt.callback_proxy_now(), attempt.callback_keep_answers
    return Sender(lambda: keys, policy, Tls(files), proxy=proxy, keep_answers=keep_answers)
