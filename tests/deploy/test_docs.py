"""The documentation does not drift from the code: settings, events, metrics, schedules; its examples are run."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from api.settings import ENV_PREFIX, Settings
from api.web.connections import READ_BYTES, Limits
from api.web.descriptors import EACH_ATTEMPT, MOST_CONNECTIONS, MOST_DESCRIPTORS, OTHERS
from api.web.message_body import MAX_CHUNK_LINE_BYTES, MAX_CHUNK_OVERHEAD_BYTES, MAX_TRAILER_BYTES
from api.web.metrics import QueueCollector
from api.web.problems import Code
from api.web.protocol import LEAST_UNREAD_RATE, LINGER_BYTES
from api.web.request_body import MAX_BODY_BYTES
from api.web.request_head import MAX_HEAD_BYTES, MAX_HEADERS
from api.web.turns import REQUESTS_AT_A_TIME, RESULTS_AT_A_TIME, WAIT_SECONDS
from runner.delivery.schedule import DELAYS_SECONDS
from runner.delivery.sign import parse_keys, signature_headers
from runner.tasks.registry import BUILT_IN, find
from tests.support.counts import NOTHING
from tests.support.pages import commands, follow

if TYPE_CHECKING:
    from collections.abc import Callable

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
KEY = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
BODY = b'{"task_id":"x"}'


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


def block_with(name: str, language: str, text: str) -> str:
    (found,) = (block for block in blocks(name, language) if text in block)
    return found


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
    names = {metric.name for metric in QueueCollector(NOTHING, 1).collect()}
    assert first_cells(table_below("operations", "Metrics")) == names


def test_the_table_of_http_limits_is_that_of_the_code() -> None:
    plain = Limits()
    told = [int(number) for row in table_below("operations", "HTTP limits") for number in re.findall(r"\d+", row)]
    assert told == [
        MAX_HEAD_BYTES, 431, MAX_HEADERS, 431, MAX_BODY_BYTES, 413, MAX_CHUNK_LINE_BYTES, 400, MAX_TRAILER_BYTES, 400,
        MAX_CHUNK_OVERHEAD_BYTES, 400, plain.head_seconds, 408, plain.body_seconds, 408,
        plain.unread_seconds, LEAST_UNREAD_RATE, plain.closing_seconds, LINGER_BYTES, READ_BYTES, plain.held_bytes, 408,
        plain.unread_bytes, REQUESTS_AT_A_TIME, WAIT_SECONDS, 503, RESULTS_AT_A_TIME, WAIT_SECONDS, 503,
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


def signed(*, seconds_ago: int = 0) -> dict[str, str]:
    return signature_headers(parse_keys([KEY]), "msg_1", int(time.time()) - seconds_ago, BODY)


@pytest.mark.parametrize("name", ["is_genuine", "verified"])
def test_the_python_that_verifies_a_callback_does(name: str) -> None:
    names: dict[str, Any] = {}
    exec(block_with("callbacks", "python", f"def {name}("), names)
    verify = names[name]
    assert verify(signed(), BODY, KEY)
    assert not verify(signed(), BODY + b" ", KEY)
    assert not verify(signed(), BODY, KEY.replace("AAEC", "AAED"))
    assert not verify(signed(seconds_ago=400), BODY, KEY)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_the_shell_that_verifies_a_callback_does(tmp_path: Path) -> None:
    headers = signed()
    (tmp_path / "body.json").write_bytes(BODY)
    names = {name.replace("-", "_"): value for name, value in headers.items()}
    answer = subprocess.run(
        ["sh", "-euc", block_with("callbacks", "sh", "openssl dgst")],
        env={"PATH": os.environ["PATH"], "key": KEY, **names},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == headers["webhook-signature"]


FORGED = [
    (lambda headers: headers, BODY, True),
    (lambda headers: headers, BODY + b" ", False),
    (lambda headers: headers | {"webhook-timestamp": "1"}, BODY, False),
    (lambda headers: headers | {"webhook-signature": "v1,AAAA " + headers["webhook-signature"]}, BODY, True),
]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
@pytest.mark.parametrize(("change", "body", "genuine"), FORGED)
def test_the_javascript_that_verifies_a_callback_does(
    *, change: Callable[[dict[str, str]], dict[str, str]], body: bytes, genuine: bool
) -> None:
    call = (
        "const given = JSON.parse(process.argv[1]);"
        "console.log(verified(given.headers, Buffer.from(given.body, 'base64'), given.key));"
    )
    given = {"headers": change(signed()), "body": base64.b64encode(body).decode(), "key": KEY}
    program = block_with("callbacks", "js", "verified") + call
    told = subprocess.run(["node", "-e", program, json.dumps(given)], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(genuine).lower()


GO_TEST = """package callback

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"testing"
)

func TestVerified(t *testing.T) {
	var cases []struct {
		Headers   map[string]string
		Body, Key string
		Genuine   bool
	}
	text, _ := os.ReadFile("cases.json")
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err)
	}
	for number, one := range cases {
		header := http.Header{}
		for name, value := range one.Headers {
			header.Set(name, value)
		}
		body, _ := base64.StdEncoding.DecodeString(one.Body)
		if Verified(header, body, one.Key) != one.Genuine {
			t.Errorf("case %d", number)
		}
	}
}
"""


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no go here")
def test_the_go_that_verifies_a_callback_does(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module callback\n\ngo 1.20\n")
    (tmp_path / "callback.go").write_text(block_with("callbacks", "go", "func Verified"))
    (tmp_path / "callback_test.go").write_text(GO_TEST)
    cases = [
        {"headers": change(signed()), "body": base64.b64encode(body).decode(), "key": KEY, "genuine": genuine}
        for change, body, genuine in FORGED
    ]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    told = subprocess.run(
        ["go", "test", "./..."], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_template_of_task_types_passes_its_own_tests(tmp_path: Path) -> None:
    for name, language in (("acme/tasks.py", "python"), ("task-types.yaml", "yaml"), ("tests/test_tasks.py", "python")):
        assert (DOCS / "template" / name).read_text(encoding="utf-8") in blocks("task-types", language)
    copy = shutil.copytree(DOCS / "template", tmp_path / "template")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    told = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=100)
    assert "3 passed" in told.stdout, told.stdout + told.stderr


def test_task_types_of_one_s_own_run_on_a_laptop_as_the_page_says(tmp_path: Path) -> None:
    copy = shutil.copytree(DOCS / "template", tmp_path / "template")
    serve, *submits = commands("task-types", "### 5. On a laptop")
    assert len(submits) == 2
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "TASKPOST_BIND": "127.0.0.1:0", "TASKPOST_DATA_DIR": str(tmp_path / "data")}
    with subprocess.Popen(
        f"exec env {serve.line}", shell=True, cwd=copy, env=os.environ | own, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        try:
            follow(submits, copy, service.stdout.readline().split()[3].rstrip(","))
        finally:
            service.terminate()
            service.communicate(timeout=30)


def test_links_between_pages_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
