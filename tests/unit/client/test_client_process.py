"""The command line as a process of its own: exit codes, signals, pipes, and what it imports."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from taskpost.cli.main import taskpost

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, outcome, summary, task

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = str(Path(sys.executable).with_name("taskpost"))
TARGET = f"/api/tasks/{TASK_ID}"


def started(service: Service, arguments: Sequence[str], **variables: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TASKPOST_URL": service.url, **variables}
    # A shell that started the tests in the background has them, and what they start, ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_installed_command_works(service: Service) -> None:
    service.on("GET", TARGET, Reply(body=task("failed", error={"code": "crashed", "message": "größer ☃"})))

    with started(service, ["get", TASK_ID], PYTHONIOENCODING="cp1252") as process:
        out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, b"")
    assert "error     größer \\u2603 (crashed)".encode("cp1252") in out


@pytest.mark.skipif(os.name != "posix", reason="SIGINT cannot be sent to a process elsewhere")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_wait_that_is_interrupted(number: int, code: int, service: Service) -> None:
    service.on("GET", TARGET, Reply(body=task("running")))

    with started(service, ["result", TASK_ID, "--wait"]) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"fibonacci: running, 0.0 %\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (code, b"")
    assert f"The task goes on. Follow it: taskpost result {TASK_ID} --wait" in err.decode()
    assert b"Traceback" not in err


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM cannot be handled elsewhere")
def test_a_check_that_is_ended_cancels_its_task(service: Service) -> None:
    """As `timeout 60 taskpost check --wait=5m` ends it."""
    service.on("GET", "/api/checks", Reply(body={"checks": []}))
    service.on("GET", "/api/task-types", Reply(body=[{"name": "sleep"}]))
    service.on("POST", "/api/tasks", Reply(202, {"task": task(), "queue_position": 1}))
    service.on("GET", TARGET, Reply(body=task("running")))
    service.on("DELETE", TARGET, Reply(body=task("cancelled")))

    with started(service, ["check", "--wait", "5m"]) as process:
        assert process.stderr is not None
        assert b"is running" in process.stderr.readline()
        process.terminate()
        _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (143, b"")
    assert "DELETE" in {asked.method for asked in service.asked}


@pytest.mark.skipif(os.name != "posix", reason="a broken pipe is another error elsewhere")
@pytest.mark.parametrize(
    "arguments",
    [
        *(["list"], ["list", "--json"], ["get", TASK_ID], ["--help"], ["-V"], ["list", "--help"], ["types"]),
        *(["result", TASK_ID], ["result", TASK_ID, "--json"], ["completion", "bash"]),
    ],
    ids=" ".join,
)
def test_output_that_nobody_reads_is_no_failure(arguments: list[str], service: Service) -> None:
    service.on("GET", "/api/tasks", Reply(body=[summary(number) for number in range(1000)]))
    service.on("GET", "/api/task-types", Reply(body=[{"name": "sleep"}]))
    service.on("GET", TARGET + "/result", Reply(body=outcome(result="9" * 1_000_000)))
    service.on("GET", TARGET, Reply(body=task()))

    with started(service, arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()

    assert err == b""
    assert process.returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="a broken pipe is another error elsewhere")
def test_a_failure_whose_json_nobody_reads_remains_one(service: Service) -> None:
    with started(service, ["get", TASK_ID, "--json"]) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert b"Traceback" not in err


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell here")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [("list --json", 0), ("list", 0), (f"get {TASK_ID} --json", 1), (f"result {TASK_ID[:-1]}b --json", 0)],
)
def test_without_stdout_nothing_is_printed(arguments: str, code: int, service: Service) -> None:
    service.on("GET", "/api/tasks", Reply(body=[summary()]))
    service.on("GET", f"/api/tasks/{TASK_ID[:-1]}b/result", Reply(body=outcome(result="9")))
    script = f"exec {shlex.quote(COMMAND)} {arguments} >&-"
    environment = os.environ | {"TASKPOST_URL": service.url}

    told = subprocess.run(["sh", "-c", script], env=environment, stderr=subprocess.PIPE, timeout=30, check=False)

    assert (told.returncode, b"Traceback" in told.stderr) == (code, False)


@pytest.mark.parametrize(("no_color", "begins"), [("1", "TASK"), ("", "\x1b["), (None, "\x1b[")])
def test_colors_can_be_turned_off(no_color: str | None, begins: str, service: Service) -> None:
    service.on("GET", "/api/tasks", Reply(body=[summary()]))
    variables = {"TASKPOST_URL": service.url, "NO_COLOR": no_color}

    shown = CliRunner().invoke(taskpost, ["list"], env=variables, color=True)

    assert shown.stdout.startswith(begins)
    assert ("\x1b[" in shown.stdout) == (begins != "TASK")


@pytest.mark.skipif(os.name != "posix", reason="a broken pipe is another error elsewhere")
def test_progress_that_nobody_reads_is_no_failure(service: Service) -> None:
    service.on("GET", TARGET, Reply(body=task("running")), Reply(body=task("done")))

    with started(service, ["wait", TASK_ID]) as process:
        assert process.stderr is not None
        process.stderr.close()
        process.communicate(timeout=30)

    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--help"], ["-V"], ["lst"], ["completion", "bash"], ["list", "--help"]])
def test_help_imports_no_library_that_it_does_not_need(arguments: list[str]) -> None:
    slow = ("httpx", "rich", "pydantic", "fastapi", "redis", "api.settings", "api.app", "http.server")
    code = (
        "import sys\nfrom taskpost.cli.main import taskpost\n"
        f"try:\n    taskpost({arguments!r})\n"
        f"except SystemExit:\n    print(sorted(sys.modules.keys() & set({slow!r})), file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert told.stderr.splitlines()[-1] == "[]"


def test_the_help_of_serve_does_not_import_the_service() -> None:
    slow = ("httpx", "fastapi", "redis", "api.app", "api.web.server")
    code = (
        "import sys\nfrom taskpost.cli.main import taskpost\n"
        "try:\n    taskpost(['serve', '--help'])\n"
        f"except SystemExit:\n    print(sorted(sys.modules.keys() & set({slow!r})), file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert "Attempts as Kubernetes Jobs" in told.stdout
    assert told.stderr.splitlines()[-1] == "[]"


@pytest.mark.alone
@pytest.mark.skipif(os.name != "posix", reason="the time of one child is not told elsewhere")
def test_help_takes_less_than_a_third_of_a_second() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}

    def seconds() -> float:
        """The time on a processor: what else runs here does not count."""
        process = subprocess.Popen([COMMAND, "--help"], env=plain, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import taskpost.cli.main", ("httpx", "rich.console", "api")),
        ("import taskpost; taskpost.Client()", ("api", "runner", "pydantic", "fastapi")),
    ],
)
def test_nothing_is_imported_before_it_is_needed(code: str, absent: tuple[str, ...]) -> None:
    check = f"import sys\n{code}\nprint(sorted(sys.modules.keys() & set({absent!r})))"

    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=30, check=True)

    assert found.stdout == "[]\n"


def test_the_version_is_the_distributions() -> None:
    found = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, timeout=30, check=True)

    assert found.stdout.startswith("taskpost, version 0.")
