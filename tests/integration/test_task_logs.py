"""What a task did can be seen, however it ended: by the HTTP interface, the command line and the service's own log."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.service import ServiceProcess, eventually, runners_of

TASKPOST = Path(sys.executable).with_name("taskpost")
KEPT_BYTES = 64 * 1024
BOUND = 300_000
MODULE = '''
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

from runner import Fail, Progress, Retry, task_type
from runner.tasks.inputs import TaskInput


class Step(TaskInput):
    """What to do: `size` is a number of bytes, `mark` a file to write when it is done."""

    do: str
    size: int = 0
    mark: str = ""


def deeper(text):
    return json.loads(text)


@task_type("acts", example={"do": "print"})
def acts(step: Step, progress: Progress) -> str:
    """Write something, and end in one of many ways."""
    print(f"attempt {os.environ['TASKPOST_ATTEMPT']} does {step.do}")
    sys.stderr.write("on stderr too\\n")
    if step.do == "raise":
        raise ValueError("the moon is not full")  # the place
    if step.do == "streams":
        sys.stdout.close()
        sys.stderr.close()
        raise ValueError("nowhere to write")
    if step.do == "replaced":
        sys.stdout, sys.stderr = None, open(os.devnull, "w")
        raise ValueError("nowhere to write")
    if step.do == "library":
        deeper("no json")
    if step.do == "fail":
        raise Fail("no_text", "nothing to count")
    if step.do == "retry":
        raise Retry(0.1, "not yet")
    if step.do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if step.do == "segfault":
        ctypes.string_at(0)
    if step.do == "flood":
        line = b"x" * 99 + b"\\n"
        for _ in range(step.size // len(line)):
            os.write(1, line)
        os.write(1, b"the end\\n")
    if step.do == "endless":
        os.write(1, b"y" * step.size)
    if step.do == "garbage":
        os.write(2, bytes(range(256)) * 10 + b"\\x1b]0;title\\x07\\xff\\xfe\\n")
    if step.do == "children":
        subprocess.run(["sh", "-c", "echo from a child; echo and its stderr >&2"])
        if os.fork() == 0:
            print("from a fork", flush=True)
            os._exit(0)
        os.wait()
    if step.do == "wait":
        open(step.mark, "w").write(str(os.getpid()))
        time.sleep(100)
    return step.do
'''
FILE = f"""
task_types:
  acts:
    python: acme_acts:acts
    input_schema: {{type: object}}
    retries: 1
  broken:
    python: acme_broken:run
    input_schema: {{type: object}}
  program:
    image: acme:1
    command: [sh, -c, 'echo reading; cat "$TASKPOST_DIRECTORY/input.json"; echo oh dear >&2; exit 3']
    input_schema: {{type: object}}
  silent:
    image: acme:1
    command: ["{sys.executable}", -c, "pass"]
    input_schema: {{type: object}}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    made = tmp_path_factory.mktemp("types")
    (made / "types.yaml").write_text(FILE)
    (made / "acme_acts.py").write_text(MODULE)
    (made / "acme_broken.py").write_text("import os\n\nos.no_such_function()\n")
    return made


def service_of(data, directory, **settings):
    fixed = {"concurrency": 2, "grace_seconds": 1, "task_types_file": directory / "types.yaml", "task_path": directory}
    return ServiceProcess(data, **fixed | {"retention_log_max_bytes": BOUND} | settings)


@pytest.fixture(scope="module")
def data_directory(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    yield made
    assert eventually(lambda: not runners_of(made)) is not False


@pytest.fixture(scope="module")
def service(data_directory, directory):
    with service_of(data_directory, directory) as running:
        yield running


@pytest.fixture(scope="module")
def client(service):
    with service.client() as connected:
        yield connected


@pytest.fixture
def own(tmp_path, directory):
    """Start services of this test's own, on one data directory."""
    started = []

    def start(**settings):
        started.append(service_of(tmp_path / "data", directory, **settings))
        started[-1].start()
        return started[-1]

    yield start
    for service in started:
        if service._process is not None:
            service.stop()
    assert eventually(lambda: not runners_of(tmp_path)) is not False


def submitted(client, do, task_type="acts", timeout_seconds=None, **step):
    return client.submit(task_type, {"do": do, **step}, timeout_seconds=timeout_seconds).task.task_id


def settled(client, task_id):
    client.wait(task_id, timeout_seconds=60)
    return eventually(lambda: (found := client.log(task_id)).complete and found)


def done(client, do, **more):
    task_id = submitted(client, do, **more)
    return settled(client, task_id), client.get(task_id)


def line_of(text):
    """The number of the line of the module that has this text."""
    return next(number for number, line in enumerate(MODULE.split("\n"), 1) if text in line)


def lines_about(service, task_id, event):
    return [line for line in service.log().splitlines() if task_id in line and f" {event} " in line]


def line_about(service, task_id, event):
    """The one line about a task's event: it is written a moment after the attempt is settled."""
    (line,) = eventually(lambda: lines_about(service, task_id, event))
    return line


def test_what_a_task_printed_is_there_and_its_end_is_one_line_with_its_times(client, service):
    log, task = done(client, "print")
    (attempt,) = log.attempts
    assert attempt.output == "attempt 1 does print\non stderr too\n"
    assert (attempt.truncated, attempt.note, log.task_status) == (False, None, "done")
    line = line_about(service, task.task_id, "task_done")
    assert re.search(r" INFO +task_done .* attempt=1 waited_seconds=\d+\.\d+ ran_seconds=\d+\.\d+$", line)
    assert not lines_about(service, task.task_id, "attempt_settled")


def test_an_exception_names_file_and_line_and_leaves_its_traceback(client, service):
    log, task = done(client, "raise")
    place = f"acme_acts.py, line {line_of('# the place')}"
    assert task.error.message == f"ValueError: the moon is not full ({place})"
    output = log.attempts[-1].output
    assert "attempt 1 does raise" in output
    assert f'acme_acts.py", line {line_of("# the place")}, in acts' in output
    assert output.endswith("ValueError: the moon is not full\n")
    assert "runner/function.py" not in output
    line = line_about(service, task.task_id, "task_failed")
    assert " WARNING " in line and "code=task_error" in line and task.error.message in line


@pytest.mark.parametrize("do", ["streams", "replaced"])
def test_a_traceback_is_there_though_the_task_has_closed_or_replaced_its_streams(client, do):
    log, _ = done(client, do)
    output = log.attempts[-1].output
    assert output.startswith(f"attempt 1 does {do}\non stderr too\nTraceback ")
    assert output.endswith(', in acts\n    raise ValueError("nowhere to write")\nValueError: nowhere to write\n')


def test_of_an_exception_in_a_library_the_line_that_calls_it_is_named(client):
    _, task = done(client, "library")
    assert task.error.message.endswith(f"(acme_acts.py, line {line_of('return json.loads')})")


def test_a_failure_by_verdict_shows_where_it_was_raised(client):
    log, task = done(client, "fail")
    assert task.error.message == "nothing to count"
    assert f"line {line_of('raise Fail')}, in acts" in log.attempts[-1].output


def test_each_attempt_has_a_log_of_its_own(client, service):
    log, task = done(client, "retry")
    assert [(one.attempt, one.output.splitlines()[0]) for one in log.attempts] == [
        (1, "attempt 1 does retry"),
        (2, "attempt 2 does retry"),
    ]
    line = line_about(service, task.task_id, "attempt_settled")
    assert "decision=requeue code=task_error reason=not yet" in line


@pytest.mark.parametrize("do", ["die", "segfault"])
def test_a_task_that_dies_has_left_its_words(client, do):
    log, task = done(client, do)
    assert task.error.code == "crashed"
    assert log.attempts[-1].output.startswith(f"attempt 1 does {do}\non stderr too\n")


def test_a_task_out_of_time_has_left_its_words(client, tmp_path):
    log, task = done(client, "wait", mark=str(tmp_path / "mark"), timeout_seconds=1)
    assert (task.error.code, log.attempts[-1].output) == ("timed_out", "attempt 1 does wait\non stderr too\n")


def test_a_task_that_runs_shows_what_it_has_written_so_far_and_one_that_is_cancelled_keeps_it(client, tmp_path):
    task_id = submitted(client, "wait", mark=str(tmp_path / "mark"))
    found = eventually(lambda: (log := client.log(task_id)).attempts and log.attempts[-1].output and log)
    assert (found.complete, found.task_status) == (False, "running")
    eventually((tmp_path / "mark").exists)
    client.cancel(task_id)
    log = settled(client, task_id)
    assert (log.task_status, log.attempts[-1].output) == ("cancelled", "attempt 1 does wait\non stderr too\n")


def test_children_write_to_the_same_log(client):
    log, _ = done(client, "children")
    assert {"from a child", "and its stderr", "from a fork"} <= set(log.attempts[-1].output.splitlines())


@pytest.mark.parametrize(("do", "end"), [("flood", "x\nthe end\n"), ("endless", "y" * 1000)])
def test_of_a_flood_the_end_is_kept(client, do, end):
    log, task = done(client, do, size=5_000_000)
    attempt = log.attempts[-1]
    assert (task.task_status, attempt.truncated) == ("done", True)
    assert KEPT_BYTES - 200 < len(attempt.output.encode()) <= KEPT_BYTES
    assert attempt.output.endswith(end)


def test_bytes_that_are_no_text_are_shown_as_far_as_they_are(client, service):
    log, task = done(client, "garbage")
    output = log.attempts[-1].output
    assert "\x00\x01" in output and "\ufffd" in output and "\x1b]0;title" in output
    shown = taskpost(service, "log", task.task_id)
    assert shown.returncode == 0
    assert all(line.replace("\t", "").isprintable() for line in shown.stdout.split("\n"))


def test_what_cannot_be_imported_says_where(client):
    log, task = done(client, "x", task_type="broken")
    assert task.error.message.endswith("(acme_broken.py, line 3)")
    assert 'acme_broken.py", line 3' in log.attempts[-1].output
    assert "importlib" not in log.attempts[-1].output


def test_the_output_of_a_program_is_the_log_of_its_task(client):
    log, task = done(client, "words", task_type="program")
    assert task.error.code == "task_error"
    assert log.attempts[-1].output == 'reading\n{"do":"words"}oh dear\n'
    log, _ = done(client, "nothing", task_type="silent")
    (attempt,) = log.attempts
    assert (attempt.output, attempt.complete, attempt.note) == ("", True, None)


def taskpost(service, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}
    environment |= {"TASKPOST_URL": service.url, "PYTHONUTF8": "1"}
    return subprocess.run(
        [TASKPOST, *arguments], capture_output=True, text=True, check=False, timeout=90, env=environment
    )


def test_the_command_line_prints_the_log_and_the_end_of_it_when_a_task_fails(client, service):
    failed = taskpost(service, "submit", "acts", "do=raise", "--wait")
    assert failed.returncode == 1
    assert "acme_acts.py, line" in failed.stderr
    shown = failed.stderr.splitlines()
    assert "  attempt 1 does raise" in shown
    assert shown[-1] == "  ValueError: the moon is not full"
    task_id = re.search(r"taskpost log (\S+)", failed.stderr)[1]
    log = taskpost(service, "log", task_id)
    assert (log.returncode, log.stderr) == (0, "")
    assert log.stdout.startswith("attempt 1 does raise\non stderr too\nTraceback")
    assert json.loads(taskpost(service, "log", task_id, "--json").stdout)["task_id"] == task_id


def test_a_queued_task_has_no_log_and_an_unknown_one_is_404(client, service, tmp_path):
    blocking = [submitted(client, "wait", mark=str(tmp_path / f"mark-{n}")) for n in range(2)]
    for number in range(2):
        eventually((tmp_path / f"mark-{number}").exists)
    waiting = submitted(client, "print")
    assert client.log(waiting).attempts == ()
    for task_id in (*blocking, waiting):
        client.cancel(task_id)
    for task_id in ("0198c0de-7e57-7000-8abc-0123456789ab", "no-id"):
        answer = httpx.get(f"{service.url}/api/tasks/{task_id}/log")
        assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")


def test_the_logs_of_all_tasks_have_a_bound_and_those_that_are_gone_say_so(client, service):
    found = [done(client, "flood", size=200_000) for _ in range(6)]
    metrics = httpx.get(f"{service.url}/metrics").text
    kept = float(re.search(r"^taskpost_log_bytes (\S+)$", metrics, re.MULTILINE)[1])
    assert BOUND / 2 < kept <= BOUND
    first, last = found[0][1].task_id, found[-1][1].task_id
    assert client.log(last).attempts[-1].output.endswith("the end\n")
    (gone,) = client.log(first).attempts
    assert gone.output == "" and "no longer kept" in gone.note
    assert client.result(first).result == "flood", "the task has lost nothing else"


def test_a_service_that_was_killed_finds_the_log_at_its_next_start(own, tmp_path):
    service = own()
    with service.client() as client:
        task_id = submitted(client, "wait", mark=str(tmp_path / "mark"))
        pid = int(eventually(lambda: (tmp_path / "mark").exists() and (tmp_path / "mark").read_text()))
    service.kill()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    service = own()
    with service.client() as client:
        first = eventually(lambda: (log := client.log(task_id)).attempts and log.attempts[0].output and log)
        assert first.attempts[0].output == "attempt 1 does wait\non stderr too\n"
        client.cancel(task_id)
        client.wait(task_id, timeout_seconds=60)


def test_without_a_bound_for_logs_none_is_kept_or_shown(own):
    with own(retention_log_max_bytes=0).client() as client:
        log, task = done(client, "raise")
        (attempt,) = log.attempts
        assert attempt.output == "" and "TASKPOST_RETENTION_LOG_MAX_BYTES is 0" in attempt.note
        assert "acme_acts.py, line" in task.error.message


def test_a_service_that_keeps_no_logs_any_more_deletes_those_it_has(own):
    service = own()
    with service.client() as client:
        log, task = done(client, "raise")
        assert log.attempts[0].output
    service.stop()
    service = own(retention_log_max_bytes=0)
    with service.client() as client:
        (attempt,) = client.log(task.task_id).attempts
        assert attempt.output == "" and "TASKPOST_RETENTION_LOG_MAX_BYTES is 0" in attempt.note
    eventually(lambda: "\ntaskpost_log_bytes 0.0\n" in httpx.get(f"{service.url}/metrics").text)
