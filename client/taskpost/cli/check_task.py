"""The checks of `taskpost check` that need a task: that one runs, and that its callback arrives."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from taskpost.cli.checks import Check, Status
from taskpost.cli.output import state_line
from taskpost.cli.params import unknown_type
from taskpost.cli.times import long_span, seconds_between
from taskpost.errors import InvalidTask, TaskpostError, WaitTimeout
from taskpost.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskpost.cli.checks import Deadline, Say
    from taskpost.client import Client
    from taskpost.models import Task

EGRESS: Final = "egress"
QUICKEST: Final = ("sleep", {"seconds": 0})
FIRST: Final = 100
"""The priority of the task: it need not wait for the queue."""
POLL_SECONDS: Final = 0.25
ANOTHER_RECEIVER: Final = "Name a receiver that the service can reach by --result-url"


@dataclass(frozen=True)
class Plan:
    """The task that is run, and the name of the check that it ends."""

    name: str
    task_type: str | None
    """By default the quickest."""
    result_url: str | None
    """By default a receiver is opened on this machine."""


def check_task(client: Client, plan: Plan, deadline: Deadline, say: Say) -> Iterator[Check]:
    """Run a task and follow its callback, up to the first check that fails.

    `say` receives what the command waits for. A task that has not ended at the deadline is cancelled.
    """
    name, result_url = plan.name, plan.result_url
    with ExitStack() as stack:
        try:
            chosen, task_input = _choose(client, plan.task_type)
            receiver = None if result_url else stack.enter_context(_receiver(client.url))
            url = receiver.url if receiver else result_url
            task, refusal = _submit(client, chosen, task_input, url, is_ours=receiver is not None)
        except TaskpostError as error:
            yield Check(name, Status.FAILED, str(error))
            return
        stack.enter_context(_cancelled_if_left(client, task))
        ended = _run(client, name, task, deadline, say)
        yield ended
        if ended.status is not Status.OK:
            return
        if refusal is not None:
            yield Check(EGRESS, Status.SKIPPED, f"{refusal}. {ANOTHER_RECEIVER}")
            return
        yield _follow_callback(client, task, receiver, deadline, say)


def _choose(client: Client, task_type: str | None) -> tuple[str, Any]:
    offered = {one.name: one for one in client.task_types()}
    if task_type is None and (QUICKEST[0] in offered or not offered):
        return QUICKEST
    name = task_type or next(iter(offered))
    if wrong := unknown_type(name, offered):
        raise TaskpostError(wrong)
    return name, offered[name].example


@contextmanager
def _receiver(service_url: str) -> Iterator[Receiver | None]:
    """Open a receiver at the address by which this machine reaches the service; None if there is none."""
    parts = urlsplit(service_url)
    try:
        receiver = Receiver(host=_own_address(parts.hostname or "", parts.port or 80))
    except OSError:
        yield None
        return
    with receiver:
        yield receiver


def _own_address(host: str, port: int) -> str:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)  # chooses the route; a datagram socket sends nothing
        return str(probe.getsockname()[0])


def _submit(
    client: Client,
    task_type: str,
    task_input: Any,  # noqa: ANN401 - any JSON value
    url: str | None,
    *,
    is_ours: bool,
) -> tuple[Task, str | None]:
    """Return the task, and why it has no callback, if it has none."""
    if url is None:
        task = client.submit(task_type, task_input, priority=FIRST).task
        return task, "this machine has no address that the service could call"
    try:
        return client.submit(task_type, task_input, result_url=url, priority=FIRST).task, None
    except InvalidTask as error:
        reasons = [one.detail for one in error.errors if one.pointer == "/result_url"]
        if not is_ours or len(reasons) != len(error.errors) or not reasons:
            raise
    return client.submit(task_type, task_input, priority=FIRST).task, f"the service may not call {url}: {reasons[0]}"


@contextmanager
def _cancelled_if_left(client: Client, task: Task) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(TaskpostError):  # it has ended, most often
            if not client.get(task.task_id).ended:
                client.cancel(task.task_id)


def _run(client: Client, name: str, task: Task, deadline: Deadline, say: Say) -> Check:
    told: set[str] = set()

    def changed(now: Task) -> None:
        text = f"Waiting for {name}: task {task.task_id} is {state_line(now)}"
        if not now.ended and text not in told:
            told.add(text)
            say(text)

    try:
        ended = client.wait(task.task_id, timeout_seconds=deadline.left(), on_change=changed)
    except WaitTimeout as error:
        last = error.waiting.get(task.task_id)
        state = "in a state not seen" if last is None else state_line(last)
        return Check(name, Status.FAILED, f"the time is over, and task {task.task_id} is {state}")
    except TaskpostError as error:
        return Check(name, Status.FAILED, str(error))
    if ended.task_status != "done":
        reason = ended.error or "no reason given"
        return Check(name, Status.FAILED, f"task {task.task_id} is {ended.task_status}: {reason}")
    waited = seconds_between(ended.created_at, ended.started_at) or 0
    ran = seconds_between(ended.started_at, ended.finished_at) or 0
    times = f"waited {long_span(waited)}, ran {long_span(ran)}"
    return Check(name, Status.OK, f"a task of the type {ended.task_type} is done: {times}")


def _follow_callback(client: Client, task: Task, receiver: Receiver | None, deadline: Deadline, say: Say) -> Check:
    told = ""
    while True:
        try:
            now = client.get(task.task_id)
        except TaskpostError as error:
            return Check(EGRESS, Status.FAILED, str(error))
        delivery = now.delivery
        state = f"the callback to {now.result_url} is {delivery.status}" + (
            f": {delivery.last_error}" if delivery.last_error else ""
        )
        if delivery.status == "delivered":
            return Check(EGRESS, Status.OK, f"the callback to {now.result_url} arrived{_signed(receiver)}")
        if delivery.status in {"dead", "blocked"} or not deadline.left():
            hint = "" if receiver is None else f". {ANOTHER_RECEIVER}, if it cannot reach this machine"
            return Check(EGRESS, Status.FAILED, state + hint)
        if state != told:
            say(f"Waiting for {EGRESS}: {state}")
            told = state
        time.sleep(min(POLL_SECONDS, deadline.left()))


def _signed(receiver: Receiver | None) -> str:
    if receiver is None:
        return ""
    try:
        signed = "webhook-signature" in receiver.next(0).headers
    except TimeoutError:  # somebody else has that address
        return ", but not at this machine"
    return ", signed" if signed else ", not signed: the service has no signing keys"
