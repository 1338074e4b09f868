"""Finds a task type's function, gives it its input, and makes an outcome of what it returns or raises."""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from runner.calm import calm_interpreter
from runner.contract import ErrorCode, State
from runner.forks import OwnProcess
from runner.outcome import MAX_MESSAGE_CHARACTERS, Outcome, failed
from runner.places import own_part, place_of
from runner.progress import ProgressThread
from runner.result import ResultRefused, encode_result
from runner.tasks.progress import Progress
from runner.tasks.registry import TaskModuleError, add_path, find, refer
from runner.tasks.verdicts import Fail, Retry
from runner.texts import bounded, error_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from runner.attempt import Attempt
    from runner.report import Report, Started

MOST_INPUT_FAULTS: Final = 20


def compute(attempt: Attempt, report: Report, started: Started) -> Outcome:
    """Run the function of an attempt's task type, with a thread beside it that sends its progress."""
    own, thread = OwnProcess(), ProgressThread(report)
    try:
        thread.start()
        progress = Progress(thread.set, say=thread.say, keep=_kept_by(own, report), saved=_saved(started))
        outcome = Outcome(State.DONE, _result(attempt, started, progress, own), None)
    except BaseException as error:  # noqa: BLE001 - whatever a task raises, SystemExit too, is its failure and not ours
        calm_interpreter()
        own.end_others(error)
        outcome = _failure(error, started)
    thread.end()
    return replace(outcome, percent=thread.latest, message=thread.message)


def _result(attempt: Attempt, started: Started, progress: Progress, own: OwnProcess) -> str:
    task_type = _find(attempt, started)
    try:
        task_input = task_type.parse(json.loads(started.task_input))
    except ValidationError as error:
        raise ResultRefused(ErrorCode.INPUT_INVALID, _input_faults(error)) from error
    progress(0)
    value = task_type.function(task_input, progress)
    calm_interpreter()  # first of all: a timer of the task may go off at any moment
    own.end_others()
    return encode_result(value, attempt.result_max_bytes)


def _find(attempt: Attempt, started: Started) -> Any:  # noqa: ANN401 - a TaskType
    try:
        add_path(attempt.task_path)
        named = attempt.task_python
        task_type = refer(named) if named else find(started.task_type, attempt.task_modules)
    except TaskModuleError as error:
        if error.__cause__ is not None:
            _print_traceback(error.__cause__, error.__cause__.__traceback__)
        raise ResultRefused(ErrorCode.TASK_ERROR, str(error)) from error
    if task_type is None:
        raise ResultRefused(ErrorCode.TASK_ERROR, f"This runner knows no task type {started.task_type!r}")
    return task_type


def _input_faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    texts = [
        f"{'.'.join(text_of(part, 100) for part in fault['loc']) or 'input'}: {bounded(fault['msg'], 500)}"
        for fault in faults[:MOST_INPUT_FAULTS]
    ]
    more = len(faults) - len(texts)
    return "; ".join([*texts, f"and {more} more"] if more > 0 else texts)


def _saved(started: Started) -> Any:  # noqa: ANN401 - any JSON value
    return None if started.checkpoint is None else json.loads(started.checkpoint)


def _kept_by(own: OwnProcess, report: Report) -> Callable[[str], None]:
    def keep(text: str) -> None:
        if not own.is_current():
            raise RuntimeError("progress.save was called in a child process; only the task's own process can save")
        report.save(text)

    return keep


def _failure(error: BaseException, started: Started) -> Outcome:
    kind, trace = type(error), sys.exc_info()[2]  # not `isinstance`, which asks the object for its class
    if not issubclass(kind, ResultRefused):
        _print_traceback(error, trace)
    with suppress(BaseException):  # a subclass of the task's own may hold anything
        if issubclass(kind, ResultRefused | Fail | Retry):
            return _verdict(error, text_of(error, MAX_MESSAGE_CHARACTERS), started)
    return failed(ErrorCode.TASK_ERROR, error_text(error, MAX_MESSAGE_CHARACTERS, place_of(trace)))


def _verdict(error: Any, message: str, started: Started) -> Outcome:  # noqa: ANN401
    """Return the failure that an exception of ours asks for; raises if what it holds is not valid any more."""
    kind = type(error)
    if issubclass(kind, ResultRefused):
        return failed(ErrorCode(error.code), message)
    if issubclass(kind, Fail):
        return failed(Fail(str.__str__(error.code), message).code, message)
    after = error.after_seconds
    valid = Retry(None if after is None else float(after)).after_seconds
    if started.retried >= started.retries:
        return failed(ErrorCode.TASK_ERROR, _no_retry(message, started.retries))
    return failed(ErrorCode.TASK_ERROR, message, "own" if valid is None else str(int(valid * 1000)))


def _no_retry(message: str, retries: int) -> str:
    """Say why a task that asked for another attempt gets none."""
    why = f"all {retries} `retries` of its task type are used" if retries else "its task type allows no `retries`"
    return f"{message[: MAX_MESSAGE_CHARACTERS - len(why) - 2]}; {why}"


def _print_traceback(error: BaseException, trace: TracebackType | None) -> None:
    """Write a traceback to the log, from the task's own frames on, if it can be made and there is a log."""
    with suppress(BaseException):
        sys.stderr.flush()
    # Not by `sys.stderr`, which the task may have closed or replaced.
    with suppress(BaseException), open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as log:
        traceback.print_exception(type(error), error, own_part(trace), file=log)
