"""What `helm test` runs: a task from its submission to its signed callback, with the seconds of each phase.

    python -m api.commands.chart_test --url http://taskpost:80 --address POD_IP --listen-port 8080 --signing-keys-file FILE

It uses the service as any client does. It ends with 0 if everything worked, else with 1 and a message that says what did not.
"""  # noqa: E501 - a command line

from __future__ import annotations

import argparse
import json
import queue
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskpost import Client
from taskpost.errors import ApiError, InvalidTask, TaskpostError, Unreachable
from taskpost.receiver import SignatureInvalid, verify

from api.commands.callback_server import Callback, CallbackServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskpost import Task

TASK_TYPE: Final = "sleep"
TASK_SECONDS: Final = 1
START_SECONDS: Final = 60.0
"""How long the service may take to answer for the first time: a test may follow an install at once."""
POLL_SECONDS: Final = 0.2
GIVEN_UP: Final = frozenset({"dead", "blocked"})


class ChartTestError(Exception):
    """Something does not work; the message says what."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the test and return the exit code."""
    options = _options(arguments)
    until = time.monotonic() + options.timeout_seconds
    try:
        keys = Path(options.signing_keys_file).read_text(encoding="ascii").split()
        with Client(options.url) as client, CallbackServer(options.address, options.listen_port) as server:
            _run(client, server, keys, until, options.without_callback)
    except (ChartTestError, TaskpostError, OSError, ValueError) as error:
        _say(f"FAILED: {error}")
        return 1
    return 0


def _run(client: Client, server: CallbackServer, keys: Sequence[str], until: float, without_callback: str) -> None:
    """Submit a task, wait for its end and its callback, and print how long each phase took.

    `until` is a time of the monotonic clock; `without_callback` says why no callback is asked for, if none is.
    """
    task, began, accepted, without_callback = _submit(client, server.url, without_callback)
    _say(f"task {task.task_id} of type {TASK_TYPE} at {client.url}")
    _phase("accepted", accepted - began, "POST /api/tasks, answered with 202")
    callback = None if without_callback else _callback(client, server, task, until)
    task = _ended(client, task, until)
    if task.task_status != "done" or not (task.created_at and task.started_at and task.finished_at):
        raise ChartTestError(f"the task is {task.task_status}: {task.error or 'no reason is given'}")
    _phase("started", (task.started_at - task.created_at).total_seconds(), "in the queue, then Job, pod and runner")
    _phase("ran", (task.finished_at - task.started_at).total_seconds(), f"{TASK_TYPE} seconds={TASK_SECONDS}")
    if callback is None:
        _say(f"no callback was asked for: {without_callback}")
        return
    # The seconds of our own clock, less those that passed by the service's: the two may differ.
    seconds = callback.at - accepted - (task.finished_at - task.created_at).total_seconds()
    _phase("delivered", max(0.0, seconds), _verified(callback, keys, task))
    _phase("in all", callback.at - began, "from the POST of the task to that of its callback")


def _submit(client: Client, result_url: str, without_callback: str) -> tuple[Task, float, float, str]:
    """Submit the task. Return it, when that began and was answered, and why it has no callback, if it has none."""
    key, first = secrets.token_hex(16), time.monotonic()
    while True:
        began = time.monotonic()
        url = None if without_callback else result_url
        try:
            task = client.submit(TASK_TYPE, {"seconds": TASK_SECONDS}, result_url=url, idempotency_key=key).task
        except InvalidTask as error:
            refused = [one.detail for one in error.errors if one.pointer == "/result_url"]
            if without_callback or not refused:
                raise
            # The operator has restricted where callbacks may go, and this pod is not there.
            without_callback = f"{result_url.rpartition('/')[0]} is refused ({'; '.join(refused)})"
        except (Unreachable, ApiError) as error:
            passes = isinstance(error, Unreachable) or error.status >= 500  # noqa: PLR2004 - HTTP's own
            if not passes or time.monotonic() > first + START_SECONDS:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return task, began, time.monotonic(), without_callback


def _callback(client: Client, server: CallbackServer, task: Task, until: float) -> Callback:
    """Wait for the callback, as long as one may still come."""
    while True:
        try:
            return server.received.get(timeout=POLL_SECONDS)
        except queue.Empty:
            task = client.get(task.task_id)
        if time.monotonic() > until or task.delivery.status in GIVEN_UP:
            raise ChartTestError(f"no callback came: {_how_far(task)}")


def _ended(client: Client, task: Task, until: float) -> Task:
    """Wait for the end of the task, and return it as it is then."""
    while not task.ended:
        if time.monotonic() > until:
            raise ChartTestError(f"the task did not end in time: {_how_far(task)}")
        time.sleep(POLL_SECONDS)
        task = client.get(task.task_id)
    return task


def _how_far(task: Task) -> str:
    reason, delivery = task.waiting_reason or task.error, task.delivery
    why = f" ({reason})" if reason else ""
    error = f" ({delivery.last_error})" if delivery.last_error else ""
    made = f"{delivery.status} after {delivery.attempts} attempts{error}"
    return f"the task is {task.task_status}{why}, its callback {made}"


def _verified(callback: Callback, keys: Sequence[str], task: Task) -> str:
    outcome = json.loads(callback.body)
    if not isinstance(outcome, dict) or outcome.get("task_id") != task.task_id:
        raise ChartTestError(f"a callback came that is not of this task: {callback.body[:200]!r}")
    if not keys:
        return "the callback, WITHOUT A SIGNATURE: there are no signing keys"
    try:
        verify(callback.headers, callback.body, keys)
    except SignatureInvalid as error:
        raise ChartTestError(f"the signature of the callback is not valid: {error}") from None
    return "the callback, its signature is valid"


def _phase(name: str, seconds: float, what: str) -> None:
    _say(f"{name:<9} {seconds:8.3f} s  {what}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chart_test", description="Run a task and wait for its signed callback.")
    parser.add_argument("--url", required=True, help="where the service is")
    parser.add_argument("--address", required=True, help="the address of this pod, where callbacks are received")
    parser.add_argument("--listen-port", type=int, required=True, help="the port for callbacks; 0 takes a free one")
    parser.add_argument("--signing-keys-file", required=True, help="keys that callbacks are signed with, one a line")
    parser.add_argument("--without-callback", default="", metavar="REASON", help="ask for no callback, and say why")
    parser.add_argument("--timeout-seconds", type=float, default=240, help="when to give up [default: 240]")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
