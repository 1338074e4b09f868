"""What `taskpost serve` prints when it stops: what happens to running tasks and to waiting ones."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from api.settings import Settings


def farewell(settings: Settings, running: int) -> str:
    """Return the message of a service with this number of running attempts. Pure."""
    again = "when Taskpost starts again"
    again = again if settings.embedded else f"in another service on this Redis, or {again}"
    if settings.executor == "kubernetes":
        return f"Taskpost stops: running tasks go on as Kubernetes Jobs. Tasks that wait run {again}."
    if not running:
        return f"Taskpost stops: no task is running. Tasks that wait run {again}."
    tasks, them, they_run = (
        ("1 running task", "it", "It runs") if running == 1 else (f"{running} running tasks", "them", "They run")
    )
    return (
        f"Taskpost stops: it ends {tasks} within {settings.grace_seconds:g} s and puts {them} back into the queue. "
        f"{they_run} again {again}."
    )


def say(text: str) -> None:
    """Print a line. Ignores a closed terminal or pipe."""
    try:
        click.echo(text)
    except OSError:
        # Python would try it again when it ends, and fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
