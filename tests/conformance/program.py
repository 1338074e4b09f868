"""A small program for attempts to run. `PROGRAM` says what it does; every process of it holds the pipe `PIPE` open."""

import os
import signal
import subprocess
import sys


def main() -> None:
    pipe = os.open(os.environ["PIPE"], os.O_WRONLY)
    verb, *words = os.environ["PROGRAM"].split()
    if verb in {"write", "talk"}:
        print(*words, flush=True)  # noqa: T201 - its output is what is tested
    if verb == "show":
        print(*(os.environ.get(word, "(unset)") for word in words))  # noqa: T201 - its output is what is tested
    if verb == "flood":
        sys.stdout.write("x" * int(words[0]) + "the end")
    if verb == "stubborn" or "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if verb in {"parent", "leave"}:
        subprocess.Popen(["sleep", "1000"], pass_fds=(pipe,))
    if verb == "fork" and os.fork() == 0:  # a child that has inherited the lock too
        signal.pause()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if verb == "stubborn" else signal.SIG_DFL)
    os.write(pipe, b"begun\n")
    if verb in {"pause", "stubborn", "parent", "fork", "flood", "talk"}:
        while True:
            signal.pause()
    if verb == "die":
        os.kill(os.getpid(), int(words[0]))
    sys.exit(int(words[0]) if verb == "exit" else 0)


if __name__ == "__main__":
    main()
