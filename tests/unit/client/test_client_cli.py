"""The command line against a scripted service: what it sends, says, and exits with."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from taskpost import Client, WaitTimeout
from taskpost.cli import output, types_check
from taskpost.cli.faults import failure

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, outcome, problem, summary, task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]

TARGET = f"/api/tasks/{TASK_ID}"
TYPES = [
    {
        "name": "fibonacci",
        "description": "The nth Fibonacci number.\nBy fast doubling.",
        "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "example": {"n": 1000, "list": [1], "text": "a b", "flag": True},
        "concurrency": 2,
        "max_timeout_seconds": 3600,
    },
    {"name": "bare"},
]


@pytest.fixture(autouse=True)
def answers(service: Service) -> None:
    service.on("GET", "/api/task-types", Reply(body=TYPES))
    service.on("POST", "/api/tasks", Reply(202, {"task": task(), "queue_position": 1}))
    service.on("GET", TARGET, Reply(body=task()), Reply(body=task("done")))
    service.on("GET", TARGET + "/result", Reply(body=outcome(result={"value": "größer"})))


def submitted(service: Service) -> Any:
    return next(asked for asked in service.asked if asked.method == "POST").json


def test_submit_prints_the_id_alone_on_stdout(run: Run, service: Service) -> None:
    result = run("submit", "fibonacci", "n=10", 'extra:={"a": 1}')

    assert result.exit_code == 0
    assert result.stdout == TASK_ID + "\n"
    assert result.stderr == f"queued, position 1. Follow it: taskpost result {TASK_ID} --wait\n"
    assert submitted(service) == {
        "result_url": None,
        "task_type": "fibonacci",
        "task_input": {"n": 10, "extra": {"a": 1}},
    }


def test_submit_sends_its_options(run: Run, service: Service) -> None:
    result = run(
        *("submit", "sleep", "seconds=1", "--result-url", "http://here/", "--priority", "-3"),
        *("--timeout-seconds", "2.5", "--idempotency-key", "key"),
    )

    assert result.exit_code == 0
    # No such type is known here: the value stays a string, and the service judges.
    assert submitted(service)["task_input"] == {"seconds": "1"}
    assert (submitted(service)["result_url"], submitted(service)["priority"]) == ("http://here/", -3)
    assert submitted(service)["timeout_seconds"] == 2.5
    assert service.asked[-1].headers["Idempotency-Key"] == "key"


def test_submit_takes_its_input_from_a_file_with_fields_over_it(run: Run, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"n": 1, "other": null}')

    assert run("submit", "fibonacci", "n=2", "--input", str(file)).exit_code == 0
    assert submitted(service)["task_input"] == {"n": 2, "other": None}


def test_submit_takes_its_input_from_stdin(run: Run, service: Service) -> None:
    assert run("submit", "fibonacci", "--input", "-", stdin="[1, 2]").exit_code == 0
    assert submitted(service)["task_input"] == [1, 2]
    assert service.targets() == ["POST /api/tasks"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("n=ten",), None, "n=ten: expected an integer."),
        (("ten",), None, "'ten' is not a field: write key=value, or key:=JSON."),
        (("n:=ten",), None, "n:= is not valid JSON"),
        (("--input", "-"), "{", "--input is not valid JSON"),
        (("--input", "-", "n=1"), "[]", "--input must be a JSON object"),
        (("--input", "/does/not/exist"), None, "No such file"),
        (("--priority", "high"), None, "'high' is not a valid integer"),
        (("--wait-timeout-seconds", "-1"), None, "-1.0 is not in the range"),
        (("--timeout-seconds", "nan"), None, "nan is not a number of seconds."),
        (("--timeout-seconds", "soon"), None, "'soon' is not a valid float"),
        (("--idempotency-key", "ü"), None, "An idempotency key is 1 to 255 visible ASCII characters."),
    ],
)
def test_wrong_usage_exits_2_and_submits_nothing(
    arguments: tuple[str, ...], stdin: str | None, message: str, run: Run, service: Service
) -> None:
    result = run("submit", "fibonacci", *arguments, stdin=stdin)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert "POST /api/tasks" not in service.targets()


def test_a_refused_task_exits_2_and_names_every_error(run: Run, service: Service) -> None:
    errors = [{"pointer": "/task_input/n", "detail": "too small"}, {"pointer": "", "detail": "\x1b[31mred"}]
    service.on("POST", "/api/tasks", problem(400, "invalid_task", "The task is not valid.", errors=errors))

    result = run("submit", "fibonacci", "n=-1")

    assert result.exit_code == 2
    assert result.stderr == ("Error: The task is not valid.\n  /task_input/n: too small\n  /: \\x1b[31mred\n")


def test_a_full_queue_says_when_to_try_again(run: Run, service: Service) -> None:
    service.on("POST", "/api/tasks", problem(429, "queue_full", "The queue is full.", {"Retry-After": "7"}))

    result = run("submit", "fibonacci")

    assert (result.exit_code, result.stderr) == (1, "Error: The queue is full.\nTry again in 7 s.\n")


def test_submit_json_is_the_task(run: Run) -> None:
    result = run("submit", "fibonacci", "--json")

    assert json.loads(result.stdout) == task()
    assert result.stderr == ""


def test_submit_wait_shows_the_way_on_stderr_and_the_result_on_stdout(run: Run, service: Service) -> None:
    running = [Reply(body=task("running", task_percent_done=percent)) for percent in (12.0, 13.0, 29.9)]
    service.on("GET", TARGET, Reply(body=task()), *running, Reply(body=task("done")))

    result = run("submit", "fibonacci", "--wait")

    assert result.exit_code == 0
    assert result.stdout == '{\n  "value": "größer"\n}\n'
    assert result.stderr.splitlines() == [
        "fibonacci: queued, position 1",
        "fibonacci: running, 12.0 %",
        "fibonacci: running, 29.9 %",
        "fibonacci: done",
    ]


def test_submit_wait_json_is_the_outcome_byte_for_byte(run: Run) -> None:
    result = run("submit", "fibonacci", "--wait", "--json")

    assert result.exit_code == 0
    assert result.stdout_bytes == outcome(result={"value": "größer"}) + b"\n"


@pytest.mark.parametrize(
    ("status", "error", "exit_code", "words"),
    [
        ("failed", {"code": "timed_out", "message": "It took too long."}, 1, "It took too long. (timed_out)"),
        ("cancelled", None, 4, "no reason given"),
        ("lost_in_a_newer_way", None, 1, "no reason given"),
    ],
)
def test_the_end_of_a_task_is_the_exit_code(
    status: str, error: Any, exit_code: int, words: str, *, run: Run, service: Service
) -> None:
    service.on("GET", TARGET + "/result", Reply(body=outcome(status, error=error)))

    for arguments in (("submit", "fibonacci", "--wait"), ("result", TASK_ID), ("result", TASK_ID, "--wait")):
        result = run(*arguments)
        assert result.exit_code == exit_code
        assert result.stdout == ""
        assert result.stderr.splitlines()[-1] == f"Task {TASK_ID}: {status}: {words}"
    assert run("result", TASK_ID, "--json").exit_code == exit_code


def test_giving_up_waiting_exits_5_and_says_how_to_go_on(run: Run, service: Service) -> None:
    service.on("GET", TARGET, Reply(body=task("running")))

    for arguments in (("submit", "fibonacci"), ("result", TASK_ID)):
        result = run("--url", service.url, *arguments, "--wait-timeout-seconds", "0", url="http://elsewhere:1")
        assert result.exit_code == 5
        assert f"Error: Gave up waiting after 0 s: task {TASK_ID} is running." in result.stderr
        assert f"Follow it: taskpost --url {service.url} result {TASK_ID} --wait\n" in result.stderr
        assert f"Cancel it: taskpost --url {service.url} cancel {TASK_ID}\n" in result.stderr


def test_interrupting_a_wait_exits_130_and_says_how_to_go_on(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "wait_all", interrupted)

    result = run("submit", "fibonacci", "--wait")

    assert result.exit_code == 130
    assert f"The task goes on. Follow it: taskpost result {TASK_ID} --wait\n" in result.stderr
    assert f"Cancel it: taskpost cancel {TASK_ID}\n" in result.stderr


def test_nothing_listens(run: Run, dead_url: str) -> None:
    result = run("get", TASK_ID, url=dead_url)

    assert result.exit_code == 3
    assert f"No Taskpost service answers at {dead_url}" in result.stderr
    assert "`taskpost serve` starts a service" in result.stderr


def test_a_url_that_is_none(run: Run) -> None:
    result = run("--url", "localhost", "list")

    assert result.exit_code == 2
    assert "must look like http://host:port" in result.stderr


def test_something_else_answers(run: Run, service: Service) -> None:
    service.on("GET", TARGET, Reply(body=b"<html>"))

    result = run("get", TASK_ID)

    assert result.exit_code == 1
    assert "not as a Taskpost service does" in result.stderr


def test_get_says_all_there_is(run: Run, service: Service) -> None:
    service.on(
        "GET",
        TARGET,
        Reply(
            body=task(
                "running",
                task_percent_done=42.5,
                waiting_reason={"code": "slow", "message": "It\tis slow."},
                error={"code": "lost", "message": "It was lost."},
                result_url="http://here/",
                delivery={"status": "pending", "attempts": 2, "next_at": "2026-01-02T03:04:10Z", "last_error": "500"},
            )
        ),
    )

    result = run("get", TASK_ID)

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[:4] == [
        f"task      {TASK_ID}",
        "type      fibonacci",
        r"state     running, 42.5 %, It\tis slow. (slow)",
        "error     It was lost. (lost)",
    ]
    assert "callback  pending, tries: 2, to http://here/" in lines
    assert "          last error: 500" in lines
    assert lines[-1].startswith("          next try: 2026-01-0")


def test_get_says_no_more_than_there_is(run: Run) -> None:
    result = run("get", TASK_ID)

    assert [line.split()[0] for line in result.stdout.splitlines()] == (
        ["task", "type", "state", "attempt", "created", "started", "finished"]
    )


def test_a_delivered_callback_has_no_next_try(run: Run, service: Service) -> None:
    delivery = {"status": "delivered", "attempts": 1, "next_at": None, "last_error": None}
    service.on("GET", TARGET, Reply(body=task("done", result_url="http://here/", delivery=delivery)))

    assert run("get", TASK_ID).stdout.splitlines()[-1] == "callback  delivered, tries: 1, to http://here/"


def test_get_json(run: Run) -> None:
    assert json.loads(run("get", TASK_ID, "--json").stdout) == task()


def test_an_argument_that_is_no_text(run: Run) -> None:
    result = run("get", "\udcff")

    assert result.exit_code == 2
    assert "An argument is not UTF-8" in result.stderr


def test_what_is_not_there_exits_1(run: Run, service: Service) -> None:
    service.on("GET", "/api/tasks/nothing", problem(404, "task_not_found", "Task nothing does not exist."))

    result = run("get", "nothing")

    assert (result.exit_code, result.stderr) == (1, "Error: Task nothing does not exist.\n")


def test_list_is_a_table(run: Run, service: Service) -> None:
    link = {"Link": '<?cursor=c2>; rel="next"'}
    service.on("GET", "/api/tasks", Reply(body=[summary(1), summary(2, "queued")], headers=link))
    service.on("GET", "/api/tasks?cursor=c2", Reply(body=[{**summary(3), "queue_position": 7}]))

    result = run("list")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split() == ["TASK", "TYPE", "STATE", "AGE", "TOOK"]
    assert [line.split()[0][-4:] for line in lines[1:]] == ["0001", "0002", "0003"]
    assert lines[1].split()[1:3] == ["sleep", "done"]
    assert lines[1].endswith("    -")
    assert lines[3].split()[2:4] == ["done", "#7"]
    assert len({line.index("sleep") for line in lines[1:]}) == 1


def test_list_filters(run: Run, service: Service) -> None:
    service.on("GET", "/api/tasks?status=done&task_type=sleep&limit=1", Reply(body=[summary(1)]))

    result = run("list", "--status", "done", "--type", "sleep", "--limit", "1", "--json")

    assert json.loads(result.stdout) == [summary(1)]
    assert run("list", "--limit", "0").exit_code == 2


def test_an_empty_list_says_so_beside_stdout(run: Run, service: Service) -> None:
    service.on("GET", "/api/tasks", Reply(body=[]))

    result = run("list")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There is nothing to list.\n")


def test_cancel(run: Run, service: Service) -> None:
    service.on("DELETE", TARGET, Reply(body=task("cancelled")))
    result = run("cancel", TASK_ID)
    assert result.exit_code == 0
    assert "state     cancelled\n" in result.stdout

    service.on("DELETE", TARGET, problem(409, "task_ended", "The task is done."))
    result = run("cancel", TASK_ID)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: The task is done.\n")


def test_a_long_result_is_cut_on_a_terminal_only(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on("GET", TARGET + "/result", Reply(body=outcome(result="9" * 5000)))
    assert len(run("result", TASK_ID).stdout) == 5003

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.print_result("9" * 5000, "the command")
    shown = capsys.readouterr()
    assert len(shown.out) == output.LONGEST_SHOWN + len(" ...\n")
    assert shown.err == "(5,002 characters in all: the command)\n"


def test_types(run: Run) -> None:
    result = run("types")

    lines = result.stdout.splitlines()
    assert lines[0].split() == ["TYPE", "CONCURRENCY", "MAX", "SECONDS", "DESCRIPTION"]
    assert lines[1].split() == ["fibonacci", "2", "3600", "The", "nth", "Fibonacci", "number."]
    assert lines[2].split() == ["bare", "-", "-"]
    assert json.loads(run("types", "--json").stdout) == TYPES


def test_one_type_with_an_example_to_try(run: Run) -> None:
    result = run("types", "fibonacci")

    assert result.exit_code == 0
    assert "The nth Fibonacci number.\nBy fast doubling.\n" in result.stdout
    assert "Example: taskpost submit fibonacci n=1000 'list:=[1]' 'text=a b' flag=true\n" in result.stdout
    assert run("types", "bare").stdout.endswith("Example: taskpost submit bare\n")
    assert json.loads(run("types", "bare", "--json").stdout) == {"name": "bare"}


def test_an_unknown_type_names_the_known(run: Run, service: Service) -> None:
    result = run("types", "nothing")
    assert result.exit_code == 2
    assert "Task type 'nothing' does not exist. The service offers: fibonacci, bare." in result.stderr

    service.on("GET", "/api/task-types", Reply(body=[]))
    assert "The service offers: none." in run("types", "nothing").stderr


def test_types_check_is_a_command_of_its_own(run: Run, tmp_path: Path) -> None:
    helped = run("types", "check", "--help")
    assert helped.exit_code == 0
    assert helped.stdout.startswith("Usage: taskpost types check [OPTIONS] FILE\n")
    assert "--json" in helped.stdout
    assert "types check --help" in " ".join(run("types", "--help").stdout.split())
    assert "Missing argument 'FILE'" in run("types", "check").stderr
    assert run("types", "check").exit_code == 2
    assert run("types", "check", "a", "b").exit_code == 2
    path = tmp_path / "types.yaml"
    path.write_text("task_types: {x: {python: 'a:b', input_schema: {}, description: One}}")
    assert "x: One\n" in run("types", "check", str(path)).stdout
    for arguments in (("types", "check", str(path), "--json"), ("types", "--json", "check", str(path))):
        assert json.loads(run(*arguments).stdout)["valid"] is True


def test_types_check_names_every_fault_and_the_file_as_it_was_given(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text("task_types:\n  x: {python: a.b, input_schema: {type: array}}\n  y: 1\n")
    monkeypatch.chdir(tmp_path)
    checked = run("types", "check", "own.yaml")
    assert (checked.exit_code, checked.stdout) == (1, "")
    assert [line.partition(": ")[2].partition(": ")[0] for line in checked.stderr.splitlines()] == [
        "own.yaml cannot be used:",
        "task_types.x.python",
        "task_types.x.input_schema",
        "task_types.y",
    ]
    assert all(line.startswith("own.yaml: ") for line in checked.stderr.splitlines()[1:])
    checked = run("types", "check", "own.yaml", "--json")
    document = json.loads(checked.stdout)
    assert (checked.exit_code, document["file"], document["valid"], document["task_types"]) == (
        1,
        "own.yaml",
        False,
        [],
    )
    assert [(fault["place"], fault["line"]) for fault in document["faults"]] == [
        ("task_types.x.python", 2),
        ("task_types.x.input_schema", 2),
        ("task_types.y", 3),
    ]
    missing = run("types", "check", "none.yaml")
    assert (missing.exit_code, "none.yaml cannot be read: No such file" in missing.stderr) == (1, True)


def test_types_check_without_the_service_says_what_it_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types_check, "entry_points", lambda **_: ())
    checked = run("types", "check", "any.yaml")
    assert (checked.exit_code, "pip install 'taskpost-service[service]'" in checked.stderr) == (1, True)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another distribution that adds verbs: one that works, and some that do not."""
    (tmp_path / "added_verbs.py").write_text(
        textwrap.dedent("""
            import click

            @click.command()
            @click.argument("name")
            def hello(name):
                "Say hello."
                click.echo(f"hello {name}")
                if name == "nobody":
                    raise KeyboardInterrupt

            nothing = 3
        """)
    )
    information = tmp_path / "added-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[taskpost.commands]\nhello = added_verbs:hello\nbroken = added_nothing:hello\n"
        "strange = added_verbs:nothing\nget = added_verbs:hello\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "added_verbs", raising=False)
    return tmp_path


@pytest.mark.usefixtures("added")
def test_other_distributions_add_verbs(run: Run) -> None:
    assert run("hello", "you").stdout == "hello you\n"
    assert run("hello", "nobody").exit_code == 130
    assert "Usage: taskpost hello" in run("hello", "--help").stdout
    # Ours cannot be replaced.
    assert TASK_ID in run("get", TASK_ID).stdout


@pytest.mark.usefixtures("added")
def test_a_verb_that_does_not_load_breaks_itself_alone(run: Run) -> None:
    help_text = run("--help")
    assert help_text.exit_code == 0
    assert re.search(r"hello +Say hello\.", help_text.stdout)
    assert "broken" not in help_text.stdout
    assert "strange" not in help_text.stdout

    broken = run("broken")
    assert broken.exit_code == 1
    assert "The verb 'broken' (added_nothing:hello) cannot be loaded: ModuleNotFoundError" in broken.stderr
    strange = run("strange")
    assert strange.exit_code == 1
    assert "'strange' (added_verbs:nothing) is not a click command" in strange.stderr


def test_a_verb_of_others_may_give_up_waiting_too() -> None:
    assert failure(WaitTimeout({}, 1)).exit_code == 5


def test_a_verb_that_is_none(run: Run) -> None:
    result = run("sumbit")

    assert result.exit_code == 2
    assert "No such command 'sumbit'. Did you mean 'submit'?" in result.stderr
