"""One attempt from its start to its first delivery try."""

from __future__ import annotations

import json
import random
import sys
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runner.attempt import EnvironmentInvalid, read_attempt
from runner.connect import connect
from runner.contract import (
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    RUNNER_DELIVERY_TIMEOUT_SECONDS,
    Error,
    ErrorCode,
    State,
    delivery_id,
    outcome_body,
)
from runner.progress import ProgressThread
from runner.report import Outcome, Refused, Report, Unreachable
from runner.result import ResultRefused, encode_result

if TYPE_CHECKING:
    from runner.attempt import Attempt
    from runner.delivery.post import Sender
    from runner.report import Started

MAX_MESSAGE_CHARACTERS: Final = 2000


def main() -> int:
    """Run the attempt that the environment names; return the exit code (`runner.contract.EXIT_*`)."""
    sys.set_int_max_str_digits(0)
    try:
        attempt = read_attempt()
        report = Report(connect(attempt.redis_url), attempt)
        _run(attempt, report)
    except EnvironmentInvalid as error:
        return _say(EXIT_USAGE, str(error))
    except Refused as refusal:
        return _say(EXIT_REFUSED, f"refused: {refusal}")
    except Unreachable as fault:
        return _say(EXIT_UNREACHABLE, f"Redis does not answer: {fault}")
    return EXIT_OK


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
    until = began + (started.started_ms + started.timeout_ms - started.now_ms) / 1000
    if started.result_url is not None:
        _import_delivery()
    recorded = report.finish(outcome, body, finished_ms, until=until)
    if recorded and started.result_url is not None:
        _deliver(attempt, report, started.result_url, body)


def _compute(attempt: Attempt, report: Report, started: Started) -> Outcome:
    thread = ProgressThread(report)
    thread.start()
    try:
        outcome = _judged(attempt, report, started, thread)
    finally:
        thread.end()
    return replace(outcome, percent=thread.latest, message=thread.message)


def _judged(attempt: Attempt, report: Report, started: Started, thread: ProgressThread) -> Outcome:
    from runner.tasks.verdicts import Fail, Retry  # noqa: PLC0415 - while `start` is on record

    try:
        return Outcome(State.DONE, _result(attempt, report, started, thread), None)
    except ResultRefused as refusal:
        return _failed(refusal.code, str(refusal))
    except Fail as verdict:
        return _failed(verdict.code, str(verdict))
    except Retry as verdict:
        after = verdict.after_seconds
        return _failed(ErrorCode.TASK_ERROR, str(verdict), "own" if after is None else str(int(after * 1000)))
    except BaseException as fault:  # noqa: BLE001 - whatever a task raises, SystemExit too, is its failure and not ours
        traceback.print_exc()
        return _failed(ErrorCode.TASK_ERROR, f"{type(fault).__name__}: {fault}")


def _result(attempt: Attempt, report: Report, started: Started, thread: ProgressThread) -> str:
    from pydantic import ValidationError  # noqa: PLC0415 - imported with the task type, while `start` is on record

    from runner.tasks.progress import Progress  # noqa: PLC0415
    from runner.tasks.registry import TaskModuleError, add_path, find, refer  # noqa: PLC0415

    try:
        add_path(attempt.task_path)
        named = attempt.task_python
        task_type = refer(named) if named else find(started.task_type, attempt.task_modules)
    except TaskModuleError as error:
        raise ResultRefused(ErrorCode.TASK_ERROR, str(error)) from error
    if task_type is None:
        raise ResultRefused(ErrorCode.TASK_ERROR, f"This runner knows no task type {started.task_type!r}")
    try:
        task_input = task_type.parse(json.loads(started.task_input))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'input'}: {fault['msg']}" for fault in error.errors())
        raise ResultRefused(ErrorCode.INPUT_INVALID, "; ".join(faults)) from error
    saved = None if started.checkpoint is None else json.loads(started.checkpoint)
    progress = Progress(thread.set, say=thread.say, keep=report.save, saved=saved)
    progress(0)
    return encode_result(task_type.function(task_input, progress), attempt.result_max_bytes)


def _failed(code: str, message: str, retry: str = "") -> Outcome:
    error = Error(code=str(code), message=_clean(message)[:MAX_MESSAGE_CHARACTERS])
    return Outcome(State.FAILED, "null", error, retry=retry)


def _clean(text: str) -> str:
    """A message a task raised may hold what is no Unicode text; it is told all the same."""
    return text.encode("utf-8", "backslashreplace").decode()


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
        _say(EXIT_OK, f"the delivery is left to the service: {fault}")
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
        _say(EXIT_OK, f"the delivery try could not be reported, so it may be made again: {fault}")


def _sender(attempt: Attempt) -> Sender:
    from runner.delivery.guard import Policy  # noqa: PLC0415
    from runner.delivery.post import Sender  # noqa: PLC0415
    from runner.delivery.sign import parse_keys  # noqa: PLC0415
    from runner.delivery.tls import Tls, TlsFiles  # noqa: PLC0415

    keys = parse_keys(attempt.signing_key_texts())
    files = TlsFiles(attempt.callback_ca_file, attempt.callback_certificate_file, attempt.callback_key_file)
    policy = Policy.from_json(attempt.callback_policy) if attempt.callback_policy else Policy()
    return Sender(lambda: keys, policy, Tls(files), proxy=attempt.callback_proxy)


def _say(exit_code: int, message: str) -> int:
    sys.stderr.write(f"taskpost runner: {message}\n")
    return exit_code
