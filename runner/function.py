"""A task type's function is found and given its input, and what comes of it is judged."""

from __future__ import annotations

import json
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from runner.contract import ErrorCode, State
from runner.outcome import Outcome, failed
from runner.progress import ProgressThread
from runner.result import ResultRefused, encode_result
from runner.tasks.progress import Progress
from runner.tasks.registry import TaskModuleError, add_path, find, refer
from runner.tasks.verdicts import Fail, Retry

if TYPE_CHECKING:
    from runner.attempt import Attempt
    from runner.report import Report, Started


def compute(attempt: Attempt, report: Report, started: Started) -> Outcome:
    """Run the function of an attempt's task type, with a thread beside it that sends its progress."""
    thread = ProgressThread(report)
    thread.start()
    try:
        outcome = _judged(attempt, report, started, thread)
    finally:
        thread.end()
    return replace(outcome, percent=thread.latest, message=thread.message)


def _judged(attempt: Attempt, report: Report, started: Started, thread: ProgressThread) -> Outcome:
    try:
        return Outcome(State.DONE, _result(attempt, report, started, thread), None)
    except ResultRefused as refusal:
        return failed(refusal.code, str(refusal))
    except Fail as verdict:
        return failed(verdict.code, str(verdict))
    except Retry as verdict:
        after = verdict.after_seconds
        return failed(ErrorCode.TASK_ERROR, str(verdict), "own" if after is None else str(int(after * 1000)))
    except BaseException as fault:  # noqa: BLE001 - whatever a task raises, SystemExit too, is its failure and not ours
        traceback.print_exc()
        return failed(ErrorCode.TASK_ERROR, f"{type(fault).__name__}: {fault}")


def _result(attempt: Attempt, report: Report, started: Started, thread: ProgressThread) -> str:
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
