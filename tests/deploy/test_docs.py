"""The documentation does not drift from the code: settings, events, metrics, schedules; its examples are run."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from pydantic import SecretStr
from taskpost.cli import verbs
from taskpost.cli.faults import ExitCode

from api.settings import ENV_PREFIX, Settings
from api.web.check_apart import CHECK_SECONDS, MOST_WAITING
from api.web.connections import READ_BYTES, Limits
from api.web.descriptors import EACH_ATTEMPT, MOST_CONNECTIONS, MOST_DESCRIPTORS, OTHERS
from api.web.exchange import LEAST_UNREAD_RATE
from api.web.message_body import MAX_CHUNK_LINE_BYTES, MAX_CHUNK_OVERHEAD_BYTES, MAX_TRAILER_BYTES
from api.web.metrics import QueueCollector
from api.web.problems import Code
from api.web.protocol import LINGER_BYTES
from api.web.request_body import MAX_BODY_BYTES
from api.web.request_head import MAX_HEAD_BYTES, MAX_HEADERS
from api.web.turns import LOGS_AT_A_TIME, REQUESTS_AT_A_TIME, RESULTS_AT_A_TIME, WAIT_SECONDS
from runner.delivery.schedule import DELAYS_SECONDS
from runner.tasks.registry import BUILT_IN, find
from tests.support.counts import NOTHING, NOTHING_COUNTED
from tests.support.pages import commands

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *(path for path in ROOT.glob("*.md"))])
COMPUTED_DEFAULTS = {
    "data_dir": "`$XDG_DATA_HOME/taskpost`, else `~/.local/share/taskpost`",
    "executor": "`kubernetes` where a service account's token is mounted, else `local`",
    "concurrency": "the number of CPUs, 10 in a cluster",
    "redis_url": "unset",
    "callback_allow_loopback": "true with the embedded Valkey while bound to loopback, else false",
}


def default_text(name: str, field: FieldInfo) -> str:
    if name in COMPUTED_DEFAULTS:
        return COMPUTED_DEFAULTS[name]
    default = field.get_default(call_default_factory=True)
    if default in ("", None, (), {}, SecretStr("")):
        return "none"
    values = default if isinstance(default, tuple) else (default,)
    return f"`{','.join(f'{value:.0f}' if isinstance(value, float) else str(value) for value in values)}`"


def settings_rows() -> list[str]:
    return [
        f"| `{ENV_PREFIX}{name.upper()}` | {default_text(name, field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)


def table_below(name: str, heading: str) -> list[str]:
    section = page(name).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def first_cells(rows: list[str]) -> set[str]:
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_the_table_of_settings_is_that_of_the_code() -> None:
    assert table_below("operations", "Settings") == settings_rows()


def test_every_event_of_the_log_is_in_the_table() -> None:
    logged = set()
    for path in (*(ROOT / "api").rglob("*.py"), *(ROOT / "runner").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="logger")), args=[ast.Constant(value=str(event)), *_]
                ):
                    logged.add(event)
    assert first_cells(table_below("operations", "Logs")) == logged


def test_every_metric_is_in_the_table() -> None:
    names = {metric.name for metric in QueueCollector(NOTHING, NOTHING_COUNTED, 1).collect()}
    assert first_cells(table_below("operations", "Metrics")) == names


def test_the_table_of_http_limits_is_that_of_the_code() -> None:
    plain = Limits()
    told = [int(number) for row in table_below("operations", "HTTP limits") for number in re.findall(r"\d+", row)]
    assert told == [
        MAX_HEAD_BYTES, 431, MAX_HEADERS, 431, MAX_BODY_BYTES, 413, MAX_CHUNK_LINE_BYTES, 400, MAX_TRAILER_BYTES, 400,
        MAX_CHUNK_OVERHEAD_BYTES, 400, plain.head_seconds, 408, plain.body_seconds, 408,
        plain.unread_seconds, LEAST_UNREAD_RATE, plain.closing_seconds, LINGER_BYTES, READ_BYTES, plain.held_bytes, 408,
        plain.unread_bytes, REQUESTS_AT_A_TIME, WAIT_SECONDS, 503, RESULTS_AT_A_TIME, WAIT_SECONDS, 503,
        LOGS_AT_A_TIME, WAIT_SECONDS, 503, CHECK_SECONDS, 400, MOST_WAITING, WAIT_SECONDS, 503,
    ]  # fmt: skip
    assert plain.idle_seconds == Settings.model_fields["keep_alive_seconds"].default
    text = page("operations")
    for number in (MOST_DESCRIPTORS, MOST_CONNECTIONS, OTHERS, EACH_ATTEMPT):
        assert f"{number:,}" in text


def test_every_code_of_a_problem_is_in_the_table() -> None:
    told = {code for row in table_below("api", "Errors") for code in re.findall(r"`([a-z_]+)`", row.split("|")[2])}
    assert told == set(Code)


def test_the_pauses_between_tries_are_those_of_the_code() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    sentence = re.search(r"come pauses of\s(.*?), each varied", page("callbacks"), re.DOTALL)
    assert sentence is not None
    told = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", sentence[1])]
    assert told == list(DELAYS_SECONDS)
    assert f"so there are {len(DELAYS_SECONDS) + 1} tries" in page("callbacks").replace("\n", " ")


def test_the_built_in_task_types_are_in_the_table() -> None:
    rows = table_below("task-types", "Built in")
    assert first_cells(rows) == set(BUILT_IN)
    for row, name in zip(rows, BUILT_IN, strict=True):
        task_type = find(name)
        assert task_type is not None
        for field in task_type.input_schema["properties"]:
            assert f"`{field}`" in row.split("|")[2]
        assert row.split("|")[3].strip() == f"`{json.dumps(task_type.input_schema['default'])}`"


def test_the_template_of_task_types_passes_its_own_tests(tmp_path: Path) -> None:
    for name, language in (("acme/tasks.py", "python"), ("task-types.yaml", "yaml"), ("tests/test_tasks.py", "python")):
        assert (DOCS / "template" / name).read_text(encoding="utf-8") in blocks("task-types", language)
    copy = shutil.copytree(DOCS / "template", tmp_path / "template")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    told = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=100)
    assert "3 passed" in told.stdout, told.stdout + told.stderr


def test_a_file_of_task_types_is_checked_as_the_page_says() -> None:
    (check,) = commands("task-types", "#### What is wrong is named")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = subprocess.run(
        check.line,
        shell=True,
        cwd=DOCS / "template",
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, check.output, "")


VERBS = {name: verbs.load(verb) for name, verb in verbs.all_verbs().items()}


def section_of_verb(name: str) -> str:
    return page("command-line").partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", VERBS)
def test_the_page_of_the_command_line_has_every_option_of_a_command(name: str) -> None:
    section = section_of_verb(name)
    assert section
    assert f"| [`{name}`](#{name}) |" in page("command-line")
    for option in VERBS[name].params:
        if isinstance(option, click.Option) and name != "serve" and option.name not in {"own_url", "as_json"}:
            assert any(f"`{flag}" in section for flag in option.opts), option.opts


def test_the_page_of_the_command_line_has_no_option_that_does_not_exist() -> None:
    known = {flag for command in VERBS.values() for option in command.params for flag in option.opts}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page("command-line")))
    assert told <= known | {"--version", "--help"}


def test_the_exit_codes_are_those_of_the_code() -> None:
    rows = page("command-line").partition("**Exit codes**")[2].partition("**Times**")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)} == set(ExitCode)


def test_links_between_pages_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
