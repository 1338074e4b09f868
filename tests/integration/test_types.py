"""Task types from a file: reloaded, withdrawn, limited; functions that are tried again, fail, or keep a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from taskpost import InvalidTask

from tests.support.service import ServiceProcess, eventually

MODULE = '''
"""Task types of a team's own."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runner import Fail, Progress, Retry, task_type
from runner.tasks.inputs import TaskInput


class Words(TaskInput):
    """A text."""

    text: str


@dataclass
class Trip:
    """A dataclass, with a model and a time in it."""

    words: Words
    at: datetime


class Where(TaskInput):
    """A directory to leave marks in."""

    directory: str


@task_type("word_count", example={"text": "to be"})
def word_count(task_input: Words, progress: Progress) -> dict:
    """Count the words of a text."""
    count = sum(1 for _ in progress.track(task_input.text.split()))
    progress(100, f"{count} words")
    return {"words": count, "language": os.environ.get("LANGUAGE_OF_WORDS")}


@task_type("flaky", example={"directory": "/tmp/x"})
def flaky(task_input: Where, progress: Progress) -> int:
    """Ask twice to be tried again."""
    marks = len(list(Path(task_input.directory).iterdir()))
    Path(task_input.directory, f"mark-{marks}").touch()
    if marks < 2:
        raise Retry(0.1, f"only {marks} marks")
    return marks


@task_type("picky", example={"directory": "/tmp/x"})
def picky(task_input: Where, progress: Progress) -> int:
    """Fail with a code of its own, and work the second time."""
    mark = Path(task_input.directory, "mark")
    if not mark.exists():
        mark.touch()
        raise Fail("no_mark", "there was no mark")
    raise Fail("mark_found", "there is a mark")


@task_type("long", example={"directory": "/tmp/x"})
def long(task_input: Where, progress: Progress) -> dict:
    """Save how far it is, and wait to be killed the first time."""
    saved = progress.saved
    progress(10, "saved what there is")
    progress.save({"pid": os.getpid(), "at": 10})
    if saved is None:
        Path(task_input.directory, "pid").write_text(str(os.getpid()))
        time.sleep(100)
    return {"saved": saved}


@task_type("crashes", example={"directory": "/tmp/x"})
def crashes(task_input: Where, progress: Progress) -> None:
    """Leave without a word, the first time."""
    mark = Path(task_input.directory, "crashed")
    if not mark.exists():
        mark.touch()
        os._exit(9)


@task_type
def says_all(task_input: Words, progress: Progress) -> Trip:
    """Return what JSON has no form for."""
    return Trip(task_input, datetime(2024, 1, 2, tzinfo=UTC))


def add(a: int, b: int = 2) -> dict:
    """Add two numbers."""
    return {"sum": a + b}


def asks_again(how_often: int) -> None:
    raise Retry(0.1, "the weather is bad")


@task_type("impostor", example={"directory": "/tmp/x"})
def impostor(task_input: Where, progress: Progress) -> None:
    """Try to fail with a code of the service's own."""
    raise Fail("timed_out", "it is late")
'''
SCHEMA = {"type": "object", "required": ["directory"], "properties": {"directory": {"type": "string"}}}
FILE = """
task_types:
  word_count:
    description: Count words
    python: acme_types:word_count
    input_schema: {type: object, required: [text], properties: {text: {type: string, minLength: 1}}}
    example: {text: to be}
    env: {LANGUAGE_OF_WORDS: en}
    concurrency: 1
  sleep: {enabled: false}
  prime_numbers: {concurrency: 1, max_timeout_seconds: 60}
"""
OTHERS = "".join(
    f"""
  {name}:
    python: acme_types:{name}
    input_schema: {SCHEMA}
    retries: 2
    retry_pause_seconds: 0.1
    retry_on: [no_mark, crashed]
"""
    for name in ("flaky", "picky", "long", "crashes", "impostor")
)


@pytest.fixture
def types_file(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "acme_types.py").write_text(MODULE)
    path = tmp_path / "types.yaml"
    path.write_text(FILE + OTHERS)
    return path


@pytest.fixture
def service(data_directory, types_file):
    with ServiceProcess(
        data_directory, concurrency=2, task_types_file=types_file, task_path=types_file.parent / "modules"
    ) as running:
        yield running


@pytest.fixture
def client(service):
    with service.client() as connected:
        yield connected


def ended(client, task_type, task_input):
    return client.wait(client.submit(task_type, task_input).task.task_id, timeout_seconds=60)


def test_a_function_of_the_file_runs_with_its_own_settings(client):
    offered = {one.name: one for one in client.task_types()}
    assert "sleep" not in offered
    assert (offered["word_count"].description, offered["word_count"].concurrency) == ("Count words", 1)
    assert (offered["prime_numbers"].concurrency, offered["prime_numbers"].max_timeout_seconds) == (1, 60)
    task = ended(client, "word_count", {"text": "to be or not to be"})
    assert client.result(task.task_id).result == {"words": 6, "language": "en"}
    assert task.progress_message == "6 words"
    with pytest.raises(InvalidTask) as refused:
        client.submit("word_count", {"text": ""})
    assert refused.value.errors[0].pointer == "/task_input/text"
    with pytest.raises(InvalidTask):
        client.submit("sleep", {"seconds": 1})


def test_who_asks_for_it_is_tried_again_as_often_as_its_type_allows(client, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    task = ended(client, "flaky", {"directory": str(marks)})
    assert (task.task_status, task.attempt) == ("done", 3)
    assert [past.attempt for past in task.attempts] == [1, 2]
    assert task.attempts[1].reason.message == "only 1 marks"
    again = ended(client, "flaky", {"directory": str(marks)})
    assert (again.task_status, again.attempts) == ("done", ())


def test_codes_of_its_own_are_tried_again_if_the_type_says_so(client, tmp_path):
    task = ended(client, "picky", {"directory": str(tmp_path)})
    assert (task.task_status, task.attempt, task.error.code) == ("failed", 2, "mark_found")
    assert [past.reason.code for past in task.attempts] == ["no_mark"]


def test_so_are_ends_that_the_service_has_a_code_for(client, tmp_path):
    task = ended(client, "crashes", {"directory": str(tmp_path)})
    assert (task.task_status, task.attempt) == ("done", 2)
    assert [past.reason.code for past in task.attempts] == ["crashed"]


def test_the_service_s_own_codes_cannot_be_had(client, tmp_path):
    task = ended(client, "impostor", {"directory": str(tmp_path)})
    assert (task.error.code, "the service's own" in task.error.message) == ("task_error", True)


def test_what_was_saved_survives_a_lost_attempt(client, tmp_path):
    task_id = client.submit("long", {"directory": str(tmp_path)}).task.task_id
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    eventually(lambda: client.get(task_id).progress_message == "saved what there is")
    os.kill(pid, signal.SIGTERM)
    task = client.wait(task_id, timeout_seconds=60)
    assert (task.task_status, task.attempt) == ("done", 2)
    assert client.result(task_id).result == {"saved": {"pid": pid, "at": 10}}
    assert [past.reason.code for past in task.attempts] == ["attempt_lost"]


PLAIN = """
task_types:
  add: {python: 'acme_types:add'}
  says_all: {python: 'acme_types:says_all'}
  never: {python: 'acme_types:asks_again'}
  twice: {python: 'acme_types:asks_again', retries: 2}
  broken: {python: 'acme_types:aad'}
  prime_numbers: {concurency: 1}
"""


def test_what_is_written_once_in_the_code_is_enough_and_a_faulty_type_stops_no_start(data_directory, types_file):
    types_file.write_text(PLAIN)
    settings = {"task_types_file": types_file, "task_path": types_file.parent / "modules", "concurrency": 2}
    with ServiceProcess(data_directory, **settings) as service, service.client() as client:
        offered = {one.name: one for one in client.task_types()}
        assert {"add", "says_all", "never", "twice", "sleep"} <= offered.keys()
        assert not {"broken", "prime_numbers"} & offered.keys()
        assert offered["add"].description == "Add two numbers."
        for name, words in (("broken", "did you mean add?"), ("prime_numbers", "did you mean concurrency?")):
            assert f"task_types.{name}" in service.log() and words in service.log()
            with pytest.raises(InvalidTask) as refused:
                client.submit(name, {"limit": 1})
            assert f"The definition of the task type {name} has faults" in refused.value.errors[0].detail
        with pytest.raises(InvalidTask) as refused:
            client.submit("add", {"a": "x"})
        assert refused.value.errors[0].pointer == "/task_input/a"
        assert client.result(ended(client, "add", {"a": 1}).task_id).result == {"sum": 3}
        said = client.result(ended(client, "says_all", {"text": "to be"}).task_id).result
        assert said == {"words": {"text": "to be"}, "at": "2024-01-02T00:00:00Z"}
        never, twice = (ended(client, name, {"how_often": 1}) for name in ("never", "twice"))
        assert (never.error.code, never.attempt) == ("task_error", 1)
        assert never.error.message == "the weather is bad; its task type allows no `retries`"
        assert (twice.error.code, twice.attempt) == ("task_error", 3)
        assert twice.error.message == "the weather is bad; all 2 `retries` of its task type are used"


def test_tasks_of_a_type_that_has_become_faulty_wait_over_a_restart(data_directory, types_file, tmp_path):
    settings = {"task_types_file": types_file, "task_path": types_file.parent / "modules", "concurrency": 1}
    with ServiceProcess(data_directory, **settings) as service, service.client() as client:
        long = client.submit("long", {"directory": str(tmp_path)}).task.task_id
        waiting = client.submit("word_count", {"text": "a b"}).task.task_id
        eventually(lambda: client.get(long).task_status == "running")
        types_file.write_text(
            "task_types: {word_count: {python: acme}, long: {python: 'acme_types:long', input_schema: {}}}"
        )
        eventually(lambda: "task_type_faulty" in service.log())
        client.cancel(long)
        assert client.wait(waiting, timeout_seconds=30).task_status == "done", "it stays as it was"
        long = client.submit("long", {"directory": str(tmp_path)}).task.task_id
        waiting = client.submit("word_count", {"text": "a b c"}).task.task_id
    with ServiceProcess(data_directory, **settings) as service, service.client() as client:
        assert client.get(waiting).waiting_reason.code == "type_faulty"
        client.cancel(long)
        types_file.write_text(FILE + OTHERS)
        assert client.wait(waiting, timeout_seconds=30).task_status == "done"


def test_a_change_of_the_file_takes_effect_while_the_service_runs(client, service, types_file, tmp_path):
    with_more = FILE.replace("sleep: {enabled: false}", "nap: {python: 'runner.tasks.sleep:sleep', input_schema: {}}")
    types_file.write_text(with_more)
    eventually(lambda: "nap" in {one.name for one in client.task_types()})
    assert ended(client, "nap", {"seconds": 0}).task_status == "done"
    types_file.write_text("task_types: {nap: {retries: many}}")
    eventually(lambda: "files_not_reread" in service.log())
    assert "task_types.nap.retries" in service.log()
    assert ended(client, "nap", {"seconds": 0}).task_status == "done"


def test_what_waits_for_a_type_that_is_removed_fails(client, types_file, tmp_path):
    running = [client.submit("long", {"directory": str(tmp_path)}).task.task_id for _ in range(2)]
    waiting = client.submit("word_count", {"text": "a"}).task.task_id
    eventually(lambda: client.get(running[1]).task_status == "running")
    types_file.write_text("task_types: {long: {python: 'acme_types:long', input_schema: {}}}")
    task = client.wait(waiting, timeout_seconds=30)
    assert (task.task_status, task.error.code) == ("failed", "type_removed")
    assert client.get(running[1]).task_status == "running"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "task_types: {Bad: {python: 'a:b', input_schema: {}}}",
            "task_types.Bad: 'Bad' is not a valid name for a task type",
        ),
        (
            "task_types: {x: {python: 'a b', input_schema: {}}}",
            "task_types.x.python: expected module:function, e.g. acme.tasks:word_count",
        ),
        ("task_types: {x: {input_schema: {}}}", "task_types.x: a new task type needs `python`"),
        ("task_types: {x: {python: 'a:b'}}", "task_types.x.input_schema: a new task type needs it"),
        ("task_types: {sleep: {input_schema: {type: nonsense}}}", "task_types.sleep.input_schema: "),
        (
            "task_types: {sleep: {retry_on: [cancelled]}}",
            "task_types.sleep.retry_on.0: 'cancelled' is never tried again",
        ),
        ("task_types: {sleep: {timeout_seconds: 90000}}", "task_types.sleep.timeout_seconds: more than"),
        (
            "task_types: {sleep: {env: {TASKPOST_TOKEN: x}}}",
            "task_types.sleep.env: TASKPOST_TOKEN are",
        ),
        (
            "task_types: {sleep: {timeout_seconds: .inf, max_timeout_seconds: .inf}}",
            "task_types.sleep.timeout_seconds: ",
        ),
        ("task_types: {sleep: {max_timeout_seconds: .nan}}", "task_types.sleep.max_timeout_seconds: "),
        ("task_types: {sleep: {pod: {nodeSelektor: {}}}}", "task_types.sleep.pod.nodeSelektor: "),
        ("task_types: {x: {command: [y], input_schema: {}}}", "task_types.x.image: `command` needs the image"),
        ("task_types: {x: {command: [], image: y, input_schema: {}}}", "task_types.x.command: "),
        ("task_types: {x: {command: y, image: y, input_schema: {}}}", "task_types.x.command: "),
        ("task_types: {x: {command: [''], image: y, input_schema: {}}}", "task_types.x.command: its first word is the"),
        ('task_types: {x: {command: ["a\\0"], image: y, input_schema: {}}}', "task_types.x.command: no word of it may"),
        (
            'task_types: {sleep: {env: {A: "\\0"}}}',
            "task_types.sleep.env: A is not a valid environment variable",
        ),
        (
            "task_types: {sleep: {env: {A=B: x}}}",
            "task_types.sleep.env: A=B is not a valid environment variable",
        ),
        ("task_types: {x: {command: [y], image: y}}", "task_types.x.input_schema: a new task type needs it"),
        (
            "task_types: {x: {command: [y], python: 'a:b', image: y, input_schema: {}}}",
            "task_types.x: `python` and `command` are both given",
        ),
        ("task_types: {sleep: {egress: [{}]}}", "task_types.sleep.egress: only types with `command`"),
        ("task_typos: {}", "task_typos: "),
        ("task_types: [", "not YAML in UTF-8"),
        ("- a", "the file: "),
    ],
)
def test_a_wrong_file_is_told_with_its_place(tmp_path, text, words):
    path = tmp_path / "types.yaml"
    path.write_text(text)
    told = run("taskpost", "types", "check", str(path))
    assert told.returncode == 1
    assert f"{path}: " in told.stderr
    assert words in told.stderr


def test_definitions_are_told_ready_to_paste(types_file, tmp_path):
    told = run(sys.executable, "-m", "runner", "describe", "acme_types", cwd=types_file.parent / "modules")
    pasted = tmp_path / "pasted.yaml"
    pasted.write_text(told.stdout)
    checked = run("taskpost", "types", "check", str(pasted))
    assert checked.returncode == 0, checked.stderr
    assert "word_count: Count the words of a text." in checked.stdout
    assert run(sys.executable, "-m", "runner", "describe", "none:such").returncode == 1


def run(*command, cwd=None):
    from pathlib import Path

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=cwd, env=environment)
