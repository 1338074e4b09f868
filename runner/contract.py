"""What service and runner agree on: states, key names, environment names, exit codes, payload shapes. Stdlib only."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypedDict


class State(StrEnum):
    """The state of a task. `done`, `failed` and `cancelled` are ends and never change."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


MOVES: Final[dict[State, frozenset[State]]] = {
    State.QUEUED: frozenset({State.STARTING, State.FAILED, State.CANCELLED}),
    State.STARTING: frozenset({State.RUNNING, State.QUEUED, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.DONE, State.FAILED, State.CANCELLED, State.QUEUED, State.STARTING}),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""Which states may follow a state. `runner/lua/library.lua` holds the same table; a test walks both."""

ENDS: Final = frozenset(state for state, following in MOVES.items() if not following)


class DeliveryStatus(StrEnum):
    """How far the callback of a task is."""

    NONE = "none"
    WAITING = "waiting"
    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"
    BLOCKED = "blocked"


def key_prefix(instance: str) -> str:
    """The beginning of every Redis key of an instance, hash tag included; the rest is in `runner/lua`."""
    return f"{{taskpost:{instance}}}:"


def changes_channel(instance: str) -> str:
    """The Pub/Sub channel on which every change of state is announced as `<task_id> <what>`."""
    return key_prefix(instance) + "changes"


def wakeups_channel(instance: str) -> str:
    """The Pub/Sub channel on which the controller's duties are woken by their names."""
    return key_prefix(instance) + "wakeups"


class Env(StrEnum):
    """Names of the environment variables that a runner is given."""

    REDIS_URL = "TASKPOST_REDIS_URL"
    REDIS_URL_FILE = "TASKPOST_REDIS_URL_FILE"
    REDIS_MIN_REPLICAS = "TASKPOST_REDIS_MIN_REPLICAS"
    INSTANCE = "TASKPOST_INSTANCE"
    TASK_ID = "TASKPOST_TASK_ID"
    ATTEMPT = "TASKPOST_ATTEMPT"
    TOKEN = "TASKPOST_TOKEN"  # noqa: S105 - a name
    SEALED_TOKEN = "TASKPOST_SEALED_TOKEN"  # noqa: S105 - a name
    HOLDER = "TASKPOST_HOLDER"
    TASK_MODULES = "TASKPOST_TASK_MODULES"
    TASK_PATH = "TASKPOST_TASK_PATH"
    TASK_PYTHON = "TASKPOST_TASK_PYTHON"
    COMMAND = "TASKPOST_COMMAND"
    DIRECTORY = "TASKPOST_DIRECTORY"
    LOCK_FILE = "TASKPOST_LOCK_FILE"
    RESULT_MAX_BYTES = "TASKPOST_RESULT_MAX_BYTES"
    RESULT_GRACE_SECONDS = "TASKPOST_RESULT_GRACE_SECONDS"
    SIGNING_KEYS = "TASKPOST_SIGNING_KEYS"
    SIGNING_KEYS_FILE = "TASKPOST_SIGNING_KEYS_FILE"
    CALLBACK_POLICY = "TASKPOST_CALLBACK_POLICY"
    CALLBACK_PROXY = "TASKPOST_CALLBACK_PROXY"
    CALLBACK_PROXY_FILE = "TASKPOST_CALLBACK_PROXY_FILE"
    CALLBACK_KEEP_ANSWERS = "TASKPOST_CALLBACK_KEEP_ANSWERS"
    CALLBACK_CA_FILE = "TASKPOST_CALLBACK_CA_FILE"
    CALLBACK_CERTIFICATE_FILE = "TASKPOST_CALLBACK_CERTIFICATE_FILE"
    CALLBACK_KEY_FILE = "TASKPOST_CALLBACK_KEY_FILE"
    CALLBACK_RETRY_SECONDS = "TASKPOST_CALLBACK_RETRY_SECONDS"
    COPY_OUTPUT = "TASKPOST_COPY_OUTPUT"


TASK_DIRECTORY: Final = "/taskpost"
"""Where the program of a container type finds its input, and leaves its progress and its result."""
SIDECAR_PORT: Final = 20_727
"""Where the runner beside a program listens once the input is there: what gates the program's start."""
DEFAULT_RESULT_GRACE_SECONDS: Final = 120.0
"""How long it has, once the program has ended, to hand the result over."""

OUTPUT_MAX_CHARACTERS: Final = 1900

REPLICA_TIMEOUT_MS: Final = 800
"""How long a write waits for the replicas that must have it too."""

DEFAULT_INSTANCE: Final = "default"
DEFAULT_RESULT_MAX_BYTES: Final = 8 * 1024 * 1024
MAX_JSON_DEPTH: Final = 100

RUNNER_SAYS: Final = "taskpost runner: "
"""What begins a line that a runner writes to its log itself."""

EXIT_OK: Final = 0
"""An outcome is recorded, be it a success or a failure of the task."""
EXIT_USAGE: Final = 2
"""The environment does not name an attempt."""
EXIT_REFUSED: Final = 3
"""This attempt is no longer the task's current one, so nothing was done or recorded."""
EXIT_UNREACHABLE: Final = 4
"""Redis did not answer until the attempt's deadline, so no outcome could be recorded."""
EXIT_REDIS_REFUSAL: Final = 5
"""Redis refused a call of the runner, which does not pass by itself: a permission is missing, for example."""
EXIT_TERMINATED: Final = int(signal.SIGTERM)
"""SIGTERM came before an outcome was recorded. The signal's own number: see `runner/signals.py` for why."""
EXIT_BY_SIGTERM: Final = 128 + int(signal.SIGTERM)
"""The same, as shells and container runtimes tell of a program that has no handler."""

RUNNER_DELIVERY_LEASE_SECONDS: Final = 10.0
"""How long the first delivery try is the runner's alone, from the moment the outcome is recorded."""
RUNNER_DELIVERY_TIMEOUT_SECONDS: Final = 1.0
"""What a runner gives a receiver, from the look-up of its name to its answer: meanwhile its slot is held."""
RUNNER_DELIVERY_END_SECONDS: Final = 2.0
"""When a runner ends, whatever its first delivery attempt and the report of it still wait for."""


def log_entry(data: bytes, *, truncated: bool, note: str = "") -> bytes:
    """Return an attempt's log as it is stored: whether it is truncated and its note in the first line, then the log."""
    head = f"{int(truncated)}{note}".replace("\n", " ")
    return head.encode("utf-8", "backslashreplace") + b"\n" + data


class ErrorCode(StrEnum):
    """Why a task failed, or was cancelled. A task type may add codes of its own later, but cannot use these."""

    TASK_ERROR = "task_error"
    INPUT_INVALID = "input_invalid"
    RESULT_INVALID = "result_invalid"
    RESULT_TOO_LARGE = "result_too_large"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_STORAGE = "out_of_storage"
    CRASHED = "crashed"
    LOST = "lost"
    CANNOT_START = "cannot_start"
    TYPE_REMOVED = "type_removed"
    REJECTED = "rejected"
    JOB_DELETED = "job_deleted"
    CANCELLED = "cancelled"


CUSTOM_CODE: Final = "custom"
_CODES: Final = frozenset(ErrorCode)


def counted_code(code: str) -> str:
    """Return as what an error is counted: task types may make any number of codes of their own, metrics may not."""
    return code if code in _CODES else CUSTOM_CODE


class Error(TypedDict):
    """The `error` member of a task and of a callback body."""

    code: str
    message: str


def exit_message(exit_code: int | None, output: str) -> str:
    """Say how the program of a container type has failed; `output` is the end of what it has written."""
    how, tail = f"The program ended with exit code {exit_code}", output.strip()[-OUTPUT_MAX_CHARACTERS:]
    return f"{how}. Its last output: {tail}" if tail else how


def program_environment(task_id: str, attempt: int, directory: str) -> dict[str, str]:
    """Return what the program of a container type is told: nothing that lets it act in our name."""
    return {Env.TASK_ID: task_id, Env.ATTEMPT: str(attempt), Env.DIRECTORY: directory}


def format_time(milliseconds: int) -> str:
    """Return a Unix time in milliseconds as RFC 3339 in UTC, with milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outcome_body(
    *,
    task_id: str,
    task_type: str,
    status: State,
    result_json: str,
    error: Error | None,
    attempt: int,
    created_ms: int,
    started_ms: int | None,
    finished_ms: int,
) -> bytes:
    """Return the callback's body (design section 6): these very bytes are stored, signed and sent.

    `result_json` is the result as JSON text already, so that a result of many megabytes is encoded once only.
    """
    head: dict[str, Any] = {"task_id": task_id, "task_type": task_type, "status": status.value}
    tail: dict[str, Any] = {
        "error": error,
        "attempt": attempt,
        "created_at": format_time(created_ms),
        "started_at": None if started_ms is None else format_time(started_ms),
        "finished_at": format_time(finished_ms),
    }
    text = f'{_dumps(head)[:-1]},"result":{result_json},{_dumps(tail)[1:]}'
    return text.encode()


def delivery_id(task_id: str) -> str:
    """The `webhook-id` of a task's outcome: one for each task, the same at every try."""
    return f"msg_{task_id}"


def _dumps(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
