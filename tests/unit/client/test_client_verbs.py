"""What all verbs have in common: names that are nearly right, --url, --json, 80 columns, completion; and `wait`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import pytest
from taskpost.cli import verbs
from taskpost.cli.main import taskpost

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, outcome, problem, summary, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Run = Callable[..., Result]

TARGET = f"/api/tasks/{TASK_ID}"
OTHER_ID = TASK_ID[:-1] + "b"
TYPES = [{"name": "fibonacci", "description": "The nth Fibonacci number."}, {"name": "sleep"}]


@pytest.fixture(autouse=True)
def answers(service: Service) -> None:
    service.on("GET", "/api/task-types", Reply(body=TYPES))
    service.on("POST", "/api/tasks", Reply(202, {"task": task(), "queue_position": 1}))
    service.on("GET", TARGET, Reply(body=task("done")))
    service.on("DELETE", TARGET, Reply(body=task("cancelled")))
    service.on("GET", TARGET + "/result", Reply(body=outcome(result={"value": "größer"})))
    service.on("GET", "/api/tasks", Reply(body=[summary()]))
    service.on("GET", "/api/tasks?limit=50", Reply(body=[summary(1), summary(2)]))
    delivery = {"status": "dead", "attempts": 2, "next_at": None, "last_error": "410"}
    service.on("GET", TARGET + "/deliveries", Reply(body=delivery | {"last_answer": None, "tries": []}))
    service.on("POST", TARGET + "/redeliver", Reply(202, body=task("done")))
    service.on("GET", "/api/deliveries?status=dead", Reply(body=[]))
    service.on("POST", "/api/deliveries/redeliver", Reply(202, {"redelivered": 3, "no_room": 0, "cursor": None}))


COMMANDS = [
    ("submit", "fibonacci"),
    ("submit", "fibonacci", "--wait"),
    ("list",),
    ("get", TASK_ID),
    ("wait", TASK_ID),
    ("result", TASK_ID),
    ("result", TASK_ID, "--wait"),
    ("cancel", TASK_ID),
    ("deliveries",),
    ("deliveries", TASK_ID),
    ("redeliver", TASK_ID),
    ("redeliver", "--dead"),
    ("types",),
    ("types", "sleep"),
]


# Names that are nearly right


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("sumbit",), "'submit'"),
        (("lst",), "'list'"),
        (("canel", TASK_ID), "'cancel'"),
        (("deliv",), "'deliveries'"),
        (("Submit",), "'submit'"),
        (("list", "--status", "runing"), "'running'"),
        (("list", "--status", "done,faild"), "'failed'"),
        (("list", "--status", "Queued"), "'queued'"),
        (("deliveries", "--status", "ded"), "'dead'"),
        (("types", "fibonaci"), "'fibonacci'"),
        (("completion", "zhs"), "'zsh'"),
        (("list", "--stauts", "done"), "--status"),
    ],
)
def test_a_wrong_name_names_the_right_one(run: Run, arguments: tuple[str, ...], meant: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Did you mean" in result.stderr
    assert meant in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["xyzzy", "x" * 100_000, "é"])
def test_a_name_that_is_near_nothing_is_only_wrong(run: Run, name: str) -> None:
    result = run(name)

    assert result.exit_code == 2
    assert "Did you mean" not in result.stderr


def test_the_nearest_type_is_named_once(run: Run, service: Service) -> None:
    detail = "Task type 'fibonaci' does not exist. Did you mean fibonacci? The task types are fibonacci, sleep"
    errors = [{"pointer": "/task_type", "detail": detail}]
    service.on("POST", "/api/tasks", problem(400, "invalid_request", "The task is not valid.", errors=errors))

    result = run("submit", "fibonaci", "n=1")

    assert result.exit_code == 2
    assert result.stderr.splitlines() == ["Error: The task is not valid.", f"  /task_type: {detail}"]


def test_a_list_of_a_type_that_does_not_exist(run: Run, service: Service) -> None:
    service.on("GET", "/api/tasks?task_type=slep", Reply(body=[]))
    service.on("GET", "/api/tasks?task_type=sleep", Reply(body=[]))

    result = run("list", "--type", "slep")

    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        "Task type 'slep' does not exist. Did you mean 'sleep'? The service offers: fibonacci, sleep." in result.stderr
    )
    assert run("list", "--type", "sleep").stderr == "There is nothing to list.\n"


def test_a_removed_type_may_still_have_tasks(run: Run, service: Service) -> None:
    service.on("GET", "/api/tasks?task_type=old", Reply(body=[summary()]))
    assert run("list", "--type", "old").exit_code == 0


# --url, -V


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_url_may_stand_after_the_verb(run: Run, service: Service, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--url", service.url, url="http://elsewhere.invalid:1")

    assert result.exit_code == 0, result.output
    assert run("--url", "http://elsewhere.invalid:1", *arguments, "--url", service.url).exit_code == 0


def test_hints_name_the_url_that_was_given(run: Run, service: Service) -> None:
    result = run("submit", "fibonacci", "--url", service.url, url="http://elsewhere.invalid:1")
    assert f"Follow it: taskpost --url {service.url} result {TASK_ID} --wait" in result.stderr


def test_the_version(run: Run) -> None:
    assert run("-V").stdout == run("--version").stdout
    assert run("-V").stdout.startswith("taskpost, version ")


# --json


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_json_is_one_line_on_stdout(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--json")

    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    json.loads(result.stdout)


@pytest.mark.parametrize("verb", [("submit", "fibonacci"), ("get", TASK_ID), ("redeliver", TASK_ID)])
def test_a_task_is_the_same_document_everywhere(run: Run, verb: tuple[str, ...]) -> None:
    assert json.loads(run(*verb, "--json").stdout)["task_id"] == TASK_ID


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_an_error_is_json_too(run: Run, service: Service, arguments: tuple[str, ...]) -> None:
    errors = [{"pointer": "/a", "detail": "wrong"}]
    for called in service.answered():
        service.on(*called, problem(409, "task_ended", "The task is done.", errors=errors))

    result = run(*arguments, "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "error": {"code": "task_ended", "message": "The task is done.", "errors": errors}
    }
    assert "Error: The task is done." in result.stderr


def test_an_unreachable_service_is_json_too(run: Run, dead_url: str) -> None:
    result = run("get", TASK_ID, "--json", url=dead_url)

    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["code"] == "unreachable"


def test_every_verb_of_ours_has_json() -> None:
    for name, verb in verbs.VERBS.items():
        options = {option for parameter in verbs.load(verb).params for option in parameter.opts}
        assert "--json" in options or name == "completion", name


# 80 columns, times


def test_a_list_fits_eighty_columns(run: Run, service: Service) -> None:
    now = datetime.now(UTC)
    rows = [
        summary(1, "running") | {"percent_done": 42.5, "created_at": (now - timedelta(seconds=75)).isoformat()},
        summary(2, "running") | {"percent_done": 100.0, "task_type": "prime_numbers"},
        summary(3, "queued") | {"queue_position": 10_000, "task_type": "a_type_with_a_very_long_name_indeed"},
        summary(4, "cancelled") | {"created_at": "0001-01-01T00:00:00Z", "finished_at": "2026-01-02T03:04:05Z"},
        summary(5) | {"created_at": (now + timedelta(hours=1)).isoformat(), "finished_at": now.isoformat()},
        summary(6) | {"created_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:05.250Z"},
        summary(7, "lost_in_a_newer_way"),
    ]
    service.on("GET", "/api/tasks", Reply(body=rows))

    lines = run("list").stdout.splitlines()

    assert len(lines) == len(rows) + 1
    assert all(len(line) <= 80 for line in lines), lines
    assert lines[1].split()[1:] == ["sleep", "running", "42.5%", "1m15s", "-"]
    assert lines[2].split()[1:4] == ["prime_numbers", "running", "100%"]
    assert "a_type_with.." in lines[3]
    assert "queued #10000" in lines[3]
    assert lines[5].split()[2:] == ["done", "0s", "0.0s"]
    assert lines[6].endswith("0.2s")


def test_a_wide_terminal_shows_long_types(run: Run, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    service.on("GET", "/api/tasks", Reply(body=[summary(3) | {"task_type": "a_type_with_a_very_long_name_indeed"}]))
    assert "a_type_with_a_very_long_name_indeed" in run("list").stdout


@pytest.mark.parametrize("arguments", [("list",), ("types",)])
def test_tables_fit_a_terminal(run: Run, service: Service, arguments: tuple[str, ...]) -> None:
    described = [{"name": "fibonacci", "description": "x" * 200}]
    service.on("GET", "/api/task-types", Reply(body=described))
    assert all(len(line) <= 80 for line in run(*arguments).stdout.splitlines())


def test_times_have_a_zone_and_an_age(run: Run, service: Service) -> None:
    ended = task(
        "done",
        created_at="2026-01-02T03:04:05.000Z",
        started_at="2026-01-02T03:04:06.500Z",
        finished_at="2026-01-02T03:06:06.500Z",
    )
    service.on("GET", TARGET, Reply(body=ended))

    told = dict(line.split(None, 1) for line in run("get", TASK_ID).stdout.splitlines())

    moment = datetime.fromisoformat("2026-01-02T03:04:05+00:00").astimezone()
    assert told["created"].startswith(f"{moment.isoformat(' ', 'seconds')} (")
    assert told["created"].endswith(" ago)")
    assert told["started"].endswith("(waited 1.500 s)")
    assert told["finished"].endswith("(ran 2m)")


# wait


def test_wait_for_several(run: Run, service: Service) -> None:
    service.on("GET", TARGET, Reply(body=task("running")), Reply(body=task("done", started_at="2026-01-02T03:04:05Z")))
    failed = task("failed", error={"code": "task_error", "message": "No."}) | {"task_id": OTHER_ID}
    service.on("GET", f"/api/tasks/{OTHER_ID}", Reply(body=failed))

    result = run("wait", TASK_ID, OTHER_ID, TASK_ID)

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [f"{TASK_ID}  done", f"{OTHER_ID}  failed, No. (task_error)"]


@pytest.mark.parametrize(
    ("states", "exit_code"),
    [(("done", "done"), 0), (("done", "cancelled"), 4), (("cancelled", "failed"), 1)],
)
def test_the_exit_code_of_wait(run: Run, service: Service, states: tuple[str, str], exit_code: int) -> None:
    ends = [task(state) for state in states]
    service.on("GET", TARGET, Reply(body=ends[0]))
    service.on("GET", f"/api/tasks/{OTHER_ID}", Reply(body=ends[1] | {"task_id": OTHER_ID}))
    result = run("wait", TASK_ID, OTHER_ID, "--json")
    assert result.exit_code == exit_code
    assert [one["task_status"] for one in json.loads(result.stdout)] == list(states)


def test_wait_gives_up(run: Run, service: Service) -> None:
    service.on("GET", TARGET, Reply(body=task("running")))
    service.on("GET", f"/api/tasks/{OTHER_ID}", Reply(body=task("running") | {"task_id": OTHER_ID}))

    result = run("wait", TASK_ID, OTHER_ID, "--timeout", "10ms")

    assert (result.exit_code, result.stdout) == (5, "")
    assert f"The tasks go on. Follow them: taskpost wait {TASK_ID} {OTHER_ID}\n" in result.stderr


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1h30", "5x", "", "1 h", "400d", "9" * 60])
def test_a_span_of_time_that_is_not_one(run: Run, service: Service, text: str) -> None:
    result = run("wait", TASK_ID, "--timeout", text)
    assert result.exit_code == 2
    assert service.asked == []


# Completion


def complete(words: str, **options: Any) -> dict[str, str | None]:
    from click.shell_completion import ShellComplete

    *arguments, incomplete = words.split(" ")
    found = ShellComplete(taskpost, options, "taskpost", "_TASKPOST_COMPLETE").get_completions(arguments, incomplete)
    return {item.value: item.help for item in found}


def test_what_completes(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKPOST_URL", service.url)
    assert complete("su") == {"submit": "Submit a task, and print its id."}
    assert set(complete("list --st")) == {"--status"}
    assert set(complete("list --status ")) == {"queued", "starting", "running", "done", "failed", "cancelled"}
    assert set(complete("list --status done,fa")) == {"done,failed"}
    assert complete("submit fi") == {"fibonacci": "The nth Fibonacci number."}
    assert set(complete("types ")) == {"fibonacci", "sleep"}
    assert set(complete("get ")) == {summary(1)["task_id"], summary(2)["task_id"]}
    assert set(complete("completion z")) == {"zsh"}


@pytest.mark.parametrize("words", ["get ", "submit f", "list --type s"])
def test_nothing_completes_without_a_service(words: str, dead_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKPOST_URL", dead_url)
    assert complete(words) == {}


def test_a_url_on_the_line_is_asked(service: Service, dead_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKPOST_URL", dead_url)
    assert set(complete(f"--url {service.url} submit f")) == {"fibonacci"}
    assert set(complete(f"submit --url {service.url} f")) == {"fibonacci"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_TASKPOST_COMPLETE={shell}_complete" in result.stdout


def test_the_shell_is_that_of_the_user(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")
    assert "zsh_complete" in run("completion").stdout
    monkeypatch.setenv("SHELL", "/bin/nologin")
    assert run("completion").exit_code == 2


# Summaries


@pytest.mark.parametrize("name", verbs.all_verbs())
def test_the_summary_of_a_verb_is_the_first_sentence_of_its_help(name: str) -> None:
    verb = verbs.all_verbs()[name]
    command = verbs.load(verb)
    assert isinstance(command, click.Command)
    assert verb.summary is not None, f"{name} has no entry point of the group {verbs.SUMMARIES}: is it installed anew?"
    first = (command.help or "").split("\n\n")[0].replace("\n", " ")
    assert verbs.summary_of(verb) == first
