"""One attempt from its start to its first delivery try."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

from runner.contract import RUNNER_DELIVERY_TIMEOUT_SECONDS, delivery_id, outcome_body
from runner.exits import exit_code_of
from runner.texts import say
from runner.workspace import Workspace

if TYPE_CHECKING:
    from runner.attempt import Attempt
    from runner.delivery.post import Sender
    from runner.outcome import Outcome
    from runner.report import Report, Started


def main() -> int:
    """Run the attempt that the environment names; return the exit code (`runner.contract.EXIT_*`)."""
    sys.set_int_max_str_digits(0)
    return exit_code_of(_run)


def _run(attempt: Attempt, report: Report) -> None:
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
        _import_delivery()
    recorded = report.finish(outcome, body, finished_ms, until=until)
    if recorded and started.result_url is not None:
        _deliver(attempt, report, started.result_url, body)


def _compute(attempt: Attempt, report: Report, started: Started) -> Outcome:
    if attempt.command:
        from runner.command import compute  # noqa: PLC0415 - for those alone that have a command
    else:
        from runner.function import compute  # noqa: PLC0415 - while `start` is on record

    workspace = Workspace()
    outcome = compute(attempt, report, started)
    workspace.empty()
    return outcome


def _import_delivery() -> None:
    """Import what a delivery needs, before the outcome is on record: then its callback leaves at once."""
    import runner.delivery.post  # noqa: F401, PLC0415


def _deliver(attempt: Attempt, report: Report, url: str, body: bytes) -> None:
    import asyncio  # noqa: PLC0415 - for those alone that have a delivery to make

    import redis  # noqa: PLC0415

    from runner.delivery.schedule import judge  # noqa: PLC0415
    from runner.delivery.tries import Sent  # noqa: PLC0415

    try:
        sender = _sender(attempt)
    except (OSError, ValueError) as fault:
        say(f"the delivery is left to the service: {fault}")
        return
    began_seconds = time.time()
    result = asyncio.run(
        sender.post(
            url,
            delivery_id(attempt.task_id),
            body,
            now_seconds=began_seconds,
            timeout_seconds=RUNNER_DELIVERY_TIMEOUT_SECONDS,
        )
    )
    status, delay_seconds = judge(result, 1, random.random(), attempt.callback_retry_seconds)  # noqa: S311 - a jitter
    try:
        report.delivery(status, delay_seconds, Sent("runner", began_seconds, result))
    except redis.RedisError as fault:
        say(f"the delivery try could not be reported, so it may be made again: {fault}")


def _sender(attempt: Attempt) -> Sender:
    from runner.delivery.guard import Policy  # noqa: PLC0415
    from runner.delivery.post import Sender  # noqa: PLC0415
    from runner.delivery.sign import parse_keys  # noqa: PLC0415
    from runner.delivery.tls import Tls, TlsFiles  # noqa: PLC0415

    keys = parse_keys(attempt.signing_key_texts())
    files = TlsFiles(attempt.callback_ca_file, attempt.callback_certificate_file, attempt.callback_key_file)
    policy = Policy.from_json(attempt.callback_policy) if attempt.callback_policy else Policy()
    return Sender(lambda: keys, policy, Tls(files), proxy=attempt.callback_proxy)
