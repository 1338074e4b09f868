"""What is seen of a process, and of the name of an attempt's directory: pure readers."""

from __future__ import annotations

from dataclasses import replace

from api.core.observation import AttemptId, Observation, Phase


def parse_attempt_id(name: str) -> AttemptId | None:
    """Return whose directory this is, or None if it is no attempt's."""
    task_id, _, attempt = name.rpartition("-")
    return AttemptId(task_id, int(attempt)) if task_id and attempt.isdecimal() else None


def observe_end(before: Observation, return_code: int | None, log_tail: str) -> Observation:
    """Return what is seen of an attempt that is over, from its return code as `subprocess` has it."""
    if return_code is None:
        return replace(before, phase=Phase.GONE, log_tail=log_tail)
    if return_code < 0:
        return replace(before, phase=Phase.ENDED, signal=-return_code, log_tail=log_tail)
    return replace(before, phase=Phase.ENDED, exit_code=return_code, log_tail=log_tail)
