"""The progress of tasks, live: bars side by side on a terminal, lines elsewhere. The demo uses it too."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from taskpost.cli.output import printable, state_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskpost.client import Client
    from taskpost.models import Task


class Terminal(Console):
    """A console whose reader may go: that ends the command, and is not a failure of it."""

    def on_broken_pipe(self) -> None:
        """Raise what `taskpost` ends with 0 for. A thread beside it just ends."""
        self.quiet = True
        if threading.current_thread() is threading.main_thread():
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        sys.exit(0)


def follow(
    client: Client, tasks: Sequence[Task], console: Console, *, timeout_seconds: float | None = None
) -> dict[str, Task]:
    """Show the progress of tasks in one display until all have ended.

    Args:
        client: the way to the service.
        tasks: the tasks, as they were when submitted.
        console: where to show it; what else is printed on it meanwhile appears above the bars.
        timeout_seconds: when to give up.

    Returns:
        The ended tasks by id, in the order given.

    Raises:
        WaitTimeout: not all ended in time.
    """
    labels = _labels(tasks)
    task_ids = list(labels)
    if not console.is_terminal:
        return client.wait_all(task_ids, timeout_seconds=timeout_seconds, on_change=_lines(labels, console))
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>5.1f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        console=console,
    ) as display:
        bars = {task.task_id: display.add_task(labels[task.task_id], total=100.0, state="") for task in tasks}

        def update(task: Task) -> None:
            display.update(bars[task.task_id], completed=task.task_percent_done, state=_state(task))
            if task.ended:
                display.stop_task(bars[task.task_id])

        for task in tasks:
            update(task)
        return client.wait_all(task_ids, timeout_seconds=timeout_seconds, on_change=update)


def _labels(tasks: Sequence[Task]) -> dict[str, str]:
    of_type = Counter(task.task_type for task in tasks)
    return {
        task.task_id: printable(
            task.task_type if of_type[task.task_type] == 1 else f"{task.task_type} {task.task_id[-6:]}"
        )
        for task in tasks
    }


def _state(task: Task) -> str:
    # The percent has a column of its own.
    return "running" if task.task_status == "running" else state_line(task)


def _lines(labels: dict[str, str], console: Console) -> Callable[[Task], None]:
    shown: dict[str, tuple[object, ...]] = {}

    def show(task: Task) -> None:
        # A line for each tenth of the way: a log of every percent is no help.
        what = (task.task_status, task.queue_position, task.task_percent_done // 10, task.waiting_reason)
        if shown.get(task.task_id) != what:
            shown[task.task_id] = what
            console.print(f"{labels[task.task_id]}: {state_line(task)}", markup=False, highlight=False, soft_wrap=True)

    return show
