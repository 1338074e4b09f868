"""Container types on a laptop: their command as a process, with the directory that it would have in its container."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.programs import CASES
from tests.support.service import ServiceProcess, eventually, runners_of

PROGRAM = Path(__file__).parents[1] / "support" / "program.py"
SECRET = "5e3cr3t-of-the-service"
FILE = f"""
task_types:
  program:
    image: acme-program:1
    command: [{sys.executable}, {PROGRAM}]
    input_schema: {{type: object}}
    env: {{LANGUAGE_OF_WORDS: en, PYTHONUTF8: "1"}}
  here:
    image: acme-program:1
    command: [sh, -c, 'cat words.txt > /taskpost/result.json && cat "$TASKPOST_DIRECTORY/input.json" >&2']
    input_schema: {{type: object}}
  missing:
    image: acme-program:1
    command: [no-such-program]
    input_schema: {{type: object}}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    made = tmp_path_factory.mktemp("types")
    (made / "types.yaml").write_text(FILE)
    (made / "words.txt").write_text('"words"')
    return made


@pytest.fixture(scope="module")
def data_directory(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    yield made
    assert eventually(lambda: not runners_of(made)) is not False


@pytest.fixture(scope="module")
def service(directory, data_directory):
    with ServiceProcess(
        data_directory,
        concurrency=4,
        grace_seconds=1,
        task_types_file=directory / "types.yaml",
        signing_keys=f"whsec_{'c2VjcmV0' * 5}",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(service):
    with service.client() as connected:
        yield connected


def submitted(client, task_type="program", do=(), **more):
    return client.submit(task_type, {"do": list(do)}, **more).task.task_id


def ended(client, task_id):
    return client.wait(task_id, timeout_seconds=60)


@pytest.fixture(scope="module")
def all_cases(client):
    """The ids of the tasks of all cases, by their names."""
    return {name: client.submit("program", case.task_input).task.task_id for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_comes_of_what_a_program_does(client, all_cases, name):
    case = CASES[name]
    task = ended(client, all_cases[name])
    if case.code:
        assert (task.task_status, task.error.code) == ("failed", case.code)
        assert case.words in task.error.message
        assert "TASKPOST" not in task.error.message
    else:
        assert task.task_status == "done", task.error
        assert client.result(task.task_id).result == case.result
    assert task.attempt == 1
    if case.percent is not None:
        assert task.task_percent_done == case.percent
    if case.message is not None:
        assert task.progress_message == case.message


def test_a_program_is_told_nothing_that_lets_it_act_in_our_name(client):
    task_id = submitted(client, do=[["environment"], ["report"]])
    ended(client, task_id)
    found = dict(line.split("=", 1) for line in client.result(task_id).result)
    assert {name for name in found if name.startswith("TASKPOST_")} == {
        "TASKPOST_TASK_ID",
        "TASKPOST_ATTEMPT",
        "TASKPOST_DIRECTORY",
        "TASKPOST_LOCK_FILE",
    }
    assert (found["TASKPOST_TASK_ID"], found["TASKPOST_ATTEMPT"]) == (task_id, "1")
    assert found["LANGUAGE_OF_WORDS"] == "en"
    assert "whsec" not in str(found)
    assert "redis" not in str(found).lower()


def test_it_runs_where_the_file_of_task_types_is_and_the_directory_may_be_named(client):
    task = ended(client, client.submit("here", {"a": 1}).task.task_id)
    assert client.result(task.task_id).result == "words"


def test_one_that_cannot_be_started_says_so(client):
    task = ended(client, client.submit("missing", {}).task.task_id)
    assert (task.error.code, task.error.message) == (
        "cannot_start",
        "'no-such-program' cannot be started: No such file or directory",
    )


def test_progress_is_seen_while_it_runs(client):
    task_id = submitted(client, do=[["write", "progress", "12.5 of all\n"], ["sleep", 600]])
    eventually(lambda: client.get(task_id).task_percent_done == 12.5)
    assert client.get(task_id).progress_message == "of all"
    client.cancel(task_id)
    assert ended(client, task_id).task_status == "cancelled"


def test_one_that_does_not_heed_sigterm_is_killed(client, data_directory):
    do = [["ignore_sigterm"], ["write", "progress", "1"], ["sleep", 600]]
    task_id = submitted(client, do=do, timeout_seconds=2)
    task = ended(client, task_id)
    assert (task.task_status, task.error.code) == ("failed", "timed_out")
    assert task.task_percent_done == 1.0
    eventually(lambda: not programs_in(data_directory), of="its end")


def programs_in(data_directory):
    """The processes of programs that the service of a data directory has started."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(PROGRAM) in process.cmdline() and str(data_directory) in process.environ()["TASKPOST_DIRECTORY"]:
                found.append(process)
        except (psutil.Error, KeyError):
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_one_that_is_killed_has_failed_by_that(client, number):
    task = ended(client, submitted(client, do=[["say", "last words"], ["kill", int(number)]]))
    assert (task.error.code, task.attempt) == ("task_error", 1)
    assert task.error.message == f"The program ended with exit code {128 + number}. Its last output: last words"


def test_with_a_runner_that_is_killed_it_is_gone(client, data_directory):
    task_id = submitted(client, do=[["write", "progress", "1"], ["sleep", 600]])
    runner_of(client, task_id, data_directory).kill()
    task = ended(client, task_id)
    assert (task.task_status, task.error.code) == ("failed", "crashed")
    eventually(lambda: not programs_in(data_directory), of="its end")


def test_a_runner_that_is_told_to_end_waits_for_it_and_is_lost(client, data_directory):
    task_id = submitted(client, do=[["write", "progress", "1"], ["sleep", 2], ["write", "result.json", "1"]])
    runner_of(client, task_id, data_directory).terminate()
    task = ended(client, task_id)
    assert (task.task_status, task.attempt) == ("done", 2)
    assert [past.reason.code for past in task.attempts] == ["attempt_lost"]


def runner_of(client, task_id, data_directory):
    eventually(lambda: client.get(task_id).task_percent_done == 1.0)
    (program,) = programs_in(data_directory)
    return program.parent()
