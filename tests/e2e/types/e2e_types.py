"""Task types for the tests on a cluster: each meets a fate of its own. Mounted into service and runners."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal, NoReturn

from runner import Progress, Retry, task_type
from runner.tasks.inputs import TaskInput

DURING_SECONDS = 1.0
ALLOCATE = "held = bytearray(1 << 30); held[::4096] = b'x' * len(held[::4096])"


class Nothing(TaskInput):
    """No input."""


@task_type("hog", example={})
def hog(task_input: Nothing, progress: Progress) -> None:
    """Take more memory than there is."""
    print("hogging", flush=True)
    exec(ALLOCATE)


@task_type("hog_child", example={})
def hog_child(task_input: Nothing, progress: Progress) -> None:
    """Let a child take more memory than there is, pass over how it ends, and leave as if nothing had been."""
    subprocess.run([sys.executable, "-c", ALLOCATE], check=False)
    os._exit(0)


@task_type("writer", example={})
def writer(task_input: Nothing, progress: Progress) -> None:
    """Write more than the pod may."""
    with Path("/tmp/much").open("wb") as file:
        file.writelines(os.urandom(1 << 20) for _ in range(100))
    time.sleep(120)


@task_type("crash", example={})
def crash(task_input: Nothing, progress: Progress) -> None:
    """End with nothing recorded."""
    print("these are my last words", flush=True)
    os._exit(7)


@task_type("raises", example={})
def raises(task_input: Nothing, progress: Progress) -> None:
    """Raise an exception."""
    raise KeyError("no such key")


@task_type("talks", example={})
def talks(task_input: Nothing, progress: Progress) -> None:
    """Say something, and never end."""
    print("still talking", flush=True)
    time.sleep(120)


@task_type("keeper", example={})
def keeper(task_input: Nothing, progress: Progress) -> Any:
    """Save how far it is and wait to be taken away; whoever comes next tells what was saved."""
    if progress.saved is None:
        progress.save({"attempt": os.environ["TASKPOST_ATTEMPT"]})
        progress(10, "saved what there is")
        time.sleep(120)
    return progress.saved


@task_type("flaky", example={})
def flaky(task_input: Nothing, progress: Progress) -> str:
    """Ask once to be tried again."""
    if os.environ["TASKPOST_ATTEMPT"] == "1":
        raise Retry(0.5, "not today")
    return os.environ["TASKPOST_ATTEMPT"]


class Moment(TaskInput):
    """When to die."""

    moment: Literal["before", "during", "after"]


@task_type("dies_in_its_try", example={"moment": "before"})
def dies_in_its_try(task_input: Moment, progress: Progress) -> str:
    """Be done, and let the runner be gone right before, during or right after its own delivery try."""
    from runner.delivery.post import Sender
    from runner.report import Report

    def die(*_: object, **__: object) -> NoReturn:
        os._exit(137)  # as if killed: process 1 of a container cannot kill itself

    post = Sender.post
    match task_input.moment:
        case "before":
            Sender.post = die
        case "during":

            def dying(*arguments: Any, **options: Any) -> Any:
                threading.Timer(DURING_SECONDS, die).start()
                return post(*arguments, **options)

            Sender.post = dying
        case "after":
            Report.delivery = die
    return task_input.moment


def _nothing(task_input: Nothing, progress: Progress) -> None:
    """Do nothing: what is special about this type is its pod."""


for _name in ("no_image", "bad_name", "nowhere", "denied", "held", "with_sidecar", "limited"):
    task_type(_name, example={})(_nothing)
