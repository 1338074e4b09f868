"""The process that copies what a runner writes: real processes, as a container begins them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.embedded.environment import base_environment
from api.queue.shapes import QueueLimits, Submission
from runner.contract import EXIT_OK, EXIT_TERMINATED, State
from runner.tail_file import KEPT_BYTES
from tests.support.service import eventually

LIMITS = QueueLimits(100, 10_000)
BEGIN = """
import os, subprocess, sys, time
from runner.copier import divide
output = divide()
from runner.signals import end_at_once_on_sigterm
end_at_once_on_sigterm()

def tell():
    with open(sys.argv[1], "w") as file:
        file.write(repr(output.end()))

"""


def begun(program, told="/dev/null", **options):
    command = [sys.executable, "-u", "-c", BEGIN + program, str(told)]
    return subprocess.Popen(command, **{"stdout": subprocess.PIPE} | options)


def run(program, told="/dev/null"):
    """Run a program to its end; return its return code and what it wrote."""
    with begun(program, told) as process:
        written, _ = process.communicate(timeout=30)
    return process.returncode, written


@pytest.fixture
def told(tmp_path):
    return tmp_path / "told"


@pytest.mark.parametrize("code", [0, 3, 15])
def test_what_is_written_passes_and_the_exit_code_is_the_runner_s(told, code):
    program = f"""
print("one")
sys.stderr.write("two\\n")
os.write(1, b"three\\xff\\n")
subprocess.run(["sh", "-c", "echo four >&2"])
tell()
print("after")
sys.exit({code})
"""
    assert run(program, told) == (code, b"one\ntwo\nthree\xff\nfour\nafter\n")
    assert told.read_text() == repr((b"one\ntwo\nthree\xff\nfour\n", False))


def test_what_wrote_nothing_has_an_empty_log(told):
    assert run("tell()", told) == (0, b"")
    assert told.read_text() == repr((b"", False))


def test_of_much_the_end_is_kept_and_all_of_it_passes(told):
    returned, written = run("for n in range(200_000): os.write(1, b'line %d\\n' % n)\ntell()", told)
    assert (returned, written.count(b"\n")) == (0, 200_000)
    data, truncated = eval(told.read_text())
    assert truncated and KEPT_BYTES - 20 < len(data) <= KEPT_BYTES
    assert data.startswith(b"line ") and data.endswith(b"line 199999\n")


def test_a_c_function_that_holds_the_interpreter_may_write_more_than_a_pipe_holds(told):
    program = "import ctypes\nassert ctypes.PyDLL(None).write(2, b'x' * 1_000_000, 1_000_000) == 1_000_000\ntell()"
    returned, written = run(program, told)
    assert (returned, len(written)) == (0, 1_000_000)
    assert eval(told.read_text()) == (b"x" * KEPT_BYTES, True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_runner_that_is_killed_ends_so_and_its_words_pass(number):
    returned, written = run(f"os.write(1, b'x' * 60_000 + b'last words')\nos.kill(os.getpid(), {int(number)})")
    assert (returned, len(written), written[-10:]) == (-number, 60_010, b"last words")


def test_sigterm_reaches_the_runner_at_once():
    with begun("print('begun')\npow(3, 3**23)") as process:
        assert process.stdout.readline() == b"begun\n"
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == EXIT_TERMINATED


def test_sigterm_reaches_it_also_while_nobody_reads_the_log():
    read, write = os.pipe()
    with begun("while True: os.write(1, b'x' * 4096)", stdout=write) as process:
        os.close(write)
        assert os.read(read, 1) == b"x"
        eventually(lambda: is_waiting_to_write(process.pid), of="the copier stands still")
        process.terminate()
        eventually(lambda: not children_of(process.pid), of="the runner has ended")
        os.close(read)
        assert process.wait(20) == EXIT_TERMINATED


def is_waiting_to_write(pid):
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text() or waits_in_write(pid)


def waits_in_write(pid):
    # /proc/PID/syscall begins with the number of the system call: 1 is write on x86-64, 64 on arm64.
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] in {"1", "64"}


def children_of(pid):
    return [one for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if is_alive(one)]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_runner_does_not_outlive_the_copier():
    with begun("print(os.getpid())\ntime.sleep(100)") as process:
        runner = int(process.stdout.readline())
        process.kill()
    eventually(lambda: not is_alive(runner))


def test_what_a_task_leaves_does_not_keep_it():
    began = time.monotonic()
    with begun("print(subprocess.Popen(['sleep', '100']).pid)") as process:
        left = int(process.stdout.readline())
        assert process.wait(20) == 0
        os.kill(left, signal.SIGKILL)
    assert time.monotonic() - began < 20


def test_an_endless_writer_beside_it_keeps_no_answer_back(told):
    program = '''
code = """
import os, sys
for number in range(1000000):
    os.write(1, b'x' * 4096)
    if number == 256:
        os.write(int(sys.argv[1]), b'.')
"""
much, told_much = os.pipe()
child = subprocess.Popen([sys.executable, "-c", code, str(told_much)], pass_fds=[told_much])
os.read(much, 1)
tell()
child.kill()
'''
    with begun(program, told) as process:
        while process.stdout.read1(1 << 20):
            pass
        assert process.wait(20) == 0
    data, truncated = eval(told.read_text())
    assert (truncated, set(data)) == (True, set(b"x"))


def test_a_task_that_closes_or_takes_our_descriptors_has_no_log_and_keeps_its_files(told, tmp_path):
    for taken in ("", f"files = [open({str(tmp_path / 'file')!r}, 'wb') for _ in range(20)]\n"):
        program = f"path = sys.argv[1]\nos.closerange(3, 100)\n{taken}tell()"
        assert run(program, told)[0] == 0
        assert told.read_text() == "None"
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("target", ["/dev/full", "a pipe without a reader"])
def test_a_log_that_cannot_be_written_does_not_keep_the_task(told, target):
    if target == "/dev/full":
        written = os.open(target, os.O_WRONLY)
    else:
        read, written = os.pipe()
        os.close(read)
    with begun("print('x' * 100_000)\ntell()", told, stdout=written) as process:
        os.close(written)
        assert process.wait(20) == 0
    assert eval(told.read_text()) == (b"x" * (KEPT_BYTES - 1) + b"\n", True)


def test_a_machine_that_is_out_of_processes_runs_it_without_a_copier():
    program = "import os, sys\n{}\nfrom runner import copier\nprint(copier.divide(), os.getpid() == {})"
    broken = "def fork(): raise OSError\nos.fork = fork\nbefore = os.getpid()"
    command = [sys.executable, "-c", program.format(broken, "before")]
    assert subprocess.run(command, capture_output=True, timeout=20, check=True).stdout == b"None True\n"


@pytest.mark.parametrize(
    ("task_type", "state", "words"),
    [("raises", State.FAILED, "ValueError: the moon is not full"), ("echo", State.DONE, None)],
)
async def test_a_runner_hands_its_log_over_with_its_outcome(queue, valkey_url, instance, task_type, state, words):
    await queue.submit(Submission(task_type, "{}", None, 0, 60_000), LIMITS)
    claim = await queue.claim(10, {task_type: None})
    environment = {
        "REDIS_URL": valkey_url,
        "INSTANCE": instance,
        "TASK_ID": claim.attempt_id.task_id,
        "ATTEMPT": "1",
        "TOKEN": claim.token,
        "TASK_MODULES": "tests.support.task_types",
        "COPY_OUTPUT": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runner"),
        env=base_environment(os.environ) | {f"TASKPOST_{key}": value for key, value in environment.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    written, _ = await asyncio.wait_for(process.communicate(), 60)
    task, _ = await queue.read(claim.attempt_id.task_id)
    assert (process.returncode, task.state, task.logged) == (EXIT_OK, state, 1)
    stored = (await queue.logs.read(task.task_id)).attempts
    if words is None:
        assert stored == {} and written == b""
    else:
        assert stored[1].data == written
        assert words in written.decode()
        assert (await queue.counts()).log_bytes == len(written) + 2 + 512
