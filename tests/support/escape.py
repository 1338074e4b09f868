"""A program that leaves a process behind in one of many ways, says which, and then ends or stays.

`escape.py WAY END PIDS`: the pids of what is left are appended to the file PIDS, a line each. A `sleep 600` is left.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path


def stay(pids: Path, environment: dict[str, str], *, close: bool = True) -> None:
    """Become a process that holds on to nothing of where it comes from, and sleeps."""
    with pids.open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.chdir("/")
    if close:
        os.closerange(0, 100)
    os.execve("/bin/sleep", ["sleep", "600"], environment)


def child(then: object) -> int:
    pid = os.fork()
    if pid == 0:
        then()  # type: ignore[operator]
        os._exit(0)
    return pid


def daemon(pids: Path) -> None:
    os.setsid()
    child(lambda: stay(pids, {}))


def stubborn(pids: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stay(pids, {})


def holder_of_the_lock(pids: Path) -> None:
    """Wait for the attempt's lock, to have it when the attempt is over."""
    os.setsid()
    descriptor = os.open(os.environ["TASKPOST_LOCK_FILE"], os.O_RDWR)
    with pids.open("a") as file:
        file.write(f"{os.getpid()}\n")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    time.sleep(600)


def breeder(pids: Path) -> None:
    """Start another like it and end, again and again, each in a session of its own: 3,000 times."""
    for _ in range(3000):
        if os.fork():
            os._exit(0)
        os.setsid()
    stay(pids, {})


WAYS = {
    "setsid": lambda pids: (os.setsid(), stay(pids, dict(os.environ))),
    "group": lambda pids: (os.setpgid(0, 0), stay(pids, dict(os.environ), close=False)),
    "daemon": daemon,
    "stubborn": stubborn,
    "holder of the lock": holder_of_the_lock,
    "breeder": breeder,
}


def main() -> None:
    way, end, pids = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    pids.touch()
    pid = child(lambda: WAYS[way](pids))
    if way == "daemon":
        os.waitpid(pid, 0)
    while way != "breeder" and not pids.read_text().endswith("\n"):
        time.sleep(0.01)
    sys.stdout.write("left\n")
    sys.stdout.flush()
    Path(f"{pids}.ready").touch()
    if end == "kill the keeper":
        os.kill(os.getppid(), signal.SIGKILL)
    if end.isdecimal():
        sys.exit(int(end))
    time.sleep(600)


if __name__ == "__main__":
    main()
