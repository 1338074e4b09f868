"""Task types that start processes and threads of their own, and task types whose objects misbehave."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.tasks import Fail, Progress, Retry, task_type
from runner.tasks.inputs import TaskInput
from tests.support.hostile import EXCEPTIONS, READABLE, VALUES, Key, Text

if TYPE_CHECKING:
    from collections.abc import Callable


class Named(TaskInput):
    """Which of several things it does; `directory` is where it leaves word."""

    name: str
    directory: str = ""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise ValueError("the child's")


def _fork_again() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()


def _not_from_main(then: Callable[[], None]) -> None:
    thread = threading.Thread(target=then)
    thread.start()
    thread.join()


def _interrupt() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    os.kill(os.getpid(), signal.SIGINT)


CHILDREN: Final[dict[str, Callable[[], Any]]] = {
    "exits with 0": lambda: sys.exit(0),
    "exits with 7": lambda: sys.exit(7),
    "exits with words": lambda: sys.exit("words"),
    "raises": _raise,
    "interrupted": _interrupt,
    "returns": lambda: None,
    "leaves": lambda: os._exit(5),
    "killed": _die,
    "double fork": _fork_again,
    "exits in a thread": lambda: _not_from_main(lambda: os._exit(6)),
}
CODES: Final = {
    "exits with 0": 0,
    "exits with 7": 7,
    "exits with words": 1,
    "raises": 1,
    "interrupted": 1,
    "returns": 0,
    "leaves": 5,
    "killed": -9,
    "double fork": 0,
    "exits in a thread": 6,
}


@task_type("forks", example={"name": "returns"})
def forks(task_input: Named, progress: Progress) -> Any:
    """Fork; the child does what is named, the parent returns how it ended."""
    progress(10, "before")
    child = os.fork()
    if child == 0:
        progress(90, "of the child")
        if task_input.directory:
            _leave_word(Path(task_input.directory), progress)
        CHILDREN[task_input.name]()
        return "of the child"
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if task_input.name == "double fork":
        time.sleep(0.3)  # the grandchild returns meanwhile
    return {"pid": os.getpid(), "code": code}


def _leave_word(directory: Path, progress: Progress) -> None:
    try:
        progress.save({"of": "the child"})
    except RuntimeError as error:
        (directory / "refusal").write_text(str(error))


def _square(number: int) -> int:
    return number * number


@task_type("multiprocesses", example={"name": "fork"})
def multiprocesses(task_input: Named, progress: Progress) -> Any:
    """Compute in a pool of processes, started as named, and in threads."""
    squares: list[int] = []
    thread = threading.Thread(target=lambda: squares.append(_square(5)))
    thread.start()
    thread.join()
    with multiprocessing.get_context(task_input.name).Pool(2) as pool:
        return squares + pool.map(_square, range(4))


@task_type("raises_hostile", example={"name": "huge"})
def raises_hostile(task_input: Named, progress: Progress) -> None:
    """Raise one of the exceptions."""
    raise EXCEPTIONS[task_input.name][0]


@task_type("returns_hostile", example={"name": "cycle"})
def returns_hostile(task_input: Named, progress: Progress) -> Any:
    """Return one of the values."""
    return (VALUES | {name: (value, "", "") for name, (value, _) in READABLE.items()})[task_input.name][0]


class OddFail(Fail):
    """Holds no code that is one."""

    def __init__(self, code: object) -> None:
        self.code = code  # type: ignore[assignment]


class OddRetry(Retry):
    """Holds no number of seconds."""

    def __init__(self, seconds: object) -> None:
        self.after_seconds = seconds  # type: ignore[assignment]


def _alarm() -> None:
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("too late"))
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.01)


def _close_streams() -> None:
    sys.stdout.close()
    sys.stderr.close()


def _say_odd(progress: Progress) -> None:
    progress(50, Text("of a class of its own"))


def _use_up_descriptors() -> list[int]:
    """Lower the limit, and open files until there are no more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    opened: list[int] = []
    with suppress(OSError):
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    return []


MISCHIEF: Final[dict[str, Callable[[Progress], Any]]] = {
    "recursion limit": lambda _: sys.setrecursionlimit(60),
    "digits": lambda _: sys.set_int_max_str_digits(640) or 10**5000,  # type: ignore[func-returns-value]
    "alarm": lambda _: _alarm(),
    "no stdout": lambda _: _close_streams(),
    "no stderr": lambda _: setattr(sys, "stderr", None),
    "odd stderr": lambda _: setattr(sys, "stderr", Key()),
    "no descriptors": lambda _: os.closerange(0, 3),
    "all descriptors": lambda _: os.closerange(3, 100),
    "odd message": _say_odd,
    "no more descriptors": lambda _: _use_up_descriptors() or None,
    "memory limit": lambda _: resource.setrlimit(resource.RLIMIT_AS, (1, resource.RLIM_INFINITY)),
}
FAULTS: Final[dict[str, Callable[[], BaseException]]] = {
    "no code": lambda: OddFail(Key()),
    "long code": lambda: OddFail("x" * 10_000),
    "our code": lambda: OddFail("lost"),
    "no seconds": lambda: OddRetry(Key()),
    "not a number": lambda: OddRetry(float("nan")),
}


@task_type("does_mischief", example={"name": "digits"})
def does_mischief(task_input: Named, progress: Progress) -> Any:
    """Spoil something of the interpreter, then return; or raise after it, if the name says so."""
    name, _, then = task_input.name.partition(", then ")
    if name in FAULTS:
        fault = FAULTS[name]()
        raise fault
    value = MISCHIEF[name](progress)
    if then:
        raise ValueError("after the mischief")
    return list(range(300_000)) if name == "alarm" else value


@task_type("shows_environment", example={"name": "x"})
def shows_environment(task_input: Named, progress: Progress) -> Any:
    """Return the environment that a child process has."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(dict, (sorted(os.environ.items()),)) | pool.apply(_environment)


def _environment() -> dict[str, str]:
    return dict(os.environ)


@task_type("leaves_a_thread", example={"name": "x"})
def leaves_a_thread(task_input: Named, progress: Progress) -> str:
    """Return while a thread, which Python would wait for, goes on."""
    threading.Thread(target=lambda: time.sleep(60)).start()
    return "done"
