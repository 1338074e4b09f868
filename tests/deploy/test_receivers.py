"""The functions of docs/callbacks.md that verify a callback, in each language: a stranger gets false, and no error."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from email.message import Message
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskpost.receiver import SignatureInvalid, verify
from taskpost.signature import MIN_KEY_BYTES

from runner.delivery import sign
from tests.support import strangers
from tests.support.pages import block_with
from tests.support.strangers import BODY, KEY, SECRET, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Verified = Callable[[Any, Any, Any], bool]

NODE = """
const verified = require("./signature.js");
const cases = JSON.parse(require("node:fs").readFileSync("cases.json"));
console.log(JSON.stringify(cases.map(({ headers, body, key }) => verified(headers, Buffer.from(body, "base64"), key))));
"""
NODE_BODIES = """
const verified = require("./signature.js");
const { headers, key } = JSON.parse(require("node:fs").readFileSync("cases.json"))[0];
const bodies = [undefined, null, {}, [], "", 5, "text", new ArrayBuffer(3)];
console.log(JSON.stringify(bodies.map((body) => verified(headers, body, key))));
console.log(JSON.stringify([undefined, null, [], new Headers(headers)].map((one) => verified(one, Buffer.of(), key))));
console.log(JSON.stringify([undefined, null, Symbol("key")].map((one) => verified(headers, Buffer.of(), one))));
"""
GO = """package callback

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"testing"
)

func TestVerified(t *testing.T) {
	var cases []struct {
		Name      string
		Headers   map[string]string
		Body, Key string
		Genuine   bool
	}
	text, _ := os.ReadFile("cases.json")
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err)
	}
	for _, one := range cases {
		header := http.Header{}
		for name, value := range one.Headers {
			header.Set(name, value)
		}
		body, _ := base64.StdEncoding.DecodeString(one.Body)
		if Verified(header, body, one.Key) != one.Genuine {
			t.Error(one.Name)
		}
		if Verified(nil, nil, one.Key) {
			t.Error("nothing, with the key of " + one.Name)
		}
	}
}
"""


def as_json(cases: Sequence[Case]) -> str:
    return json.dumps([one._asdict() | {"body": base64.b64encode(one.body).decode()} for one in cases])


def wrong(cases: Sequence[Case], answers: Sequence[object]) -> list[str]:
    return [one.name for one, answer in zip(cases, answers, strict=True) if answer is not one.genuine]


@pytest.fixture(params=["is_genuine", "verified"])
def in_python(request: pytest.FixtureRequest) -> Verified:
    names: dict[str, Any] = {}
    exec(block_with("callbacks", "python", f"def {request.param}("), names)
    found: Verified = names[request.param]
    return found


def test_in_python(in_python: Verified) -> None:
    cases = [*strangers.texts(), *strangers.objects()]
    assert wrong(cases, [in_python(one.headers, one.body, one.key) for one in cases]) == []


@pytest.mark.parametrize("body", [None, "", "text", 5, [], {}])
def test_in_python_a_body_that_is_not_bytes_is_false(in_python: Verified, body: object) -> None:
    assert in_python(strangers.headers(), body, KEY) is False


def test_in_python_no_headers_are_false(in_python: Verified) -> None:
    assert in_python(None, BODY, KEY) is False  # what AWS Lambda gives for a request without headers


def test_in_python_with_headers_as_servers_give_them(in_python: Verified) -> None:
    message = Message()
    for name, value in strangers.headers().items():
        message[name.title()] = value
    assert in_python(message, BODY, KEY)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_the_client_refuses_a_header_that_comes_twice(name: str) -> None:
    """A receiver may read the one, and `verify` the other: with another id it would take a repeat for a new outcome."""
    good = strangers.headers()
    for other in (good[name], "msg_another"):
        for order in ([other, good[name]], [good[name], other]):
            message = Message()
            for header, value in good.items():
                for text in order if header == name else [value]:
                    message[header] = text
            with pytest.raises(SignatureInvalid, match=f"The header {name} is not one text"):
                verify(message, BODY, KEY)
    with pytest.raises(SignatureInvalid, match="is not one text"):
        verify(good | {name.title(): good[name]}, BODY, KEY)


ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=3)
NAMES = st.sampled_from(["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE"]) | ANYTHING.filter(
    lambda name: not isinstance(name, list)
)


@given(headers=st.dictionaries(NAMES, ANYTHING), body=ANYTHING)
def test_the_client_raises_nothing_else_whatever_comes(headers: Any, body: Any) -> None:
    with pytest.raises(SignatureInvalid):
        verify(headers, body, KEY)


def test_the_client_takes_the_keys_that_the_service_takes() -> None:
    assert MIN_KEY_BYTES == sign.MIN_KEY_BYTES
    for size in (sign.MIN_KEY_BYTES, sign.MAX_KEY_BYTES):
        key = f"whsec_{base64.b64encode(bytes(size)).decode()}"
        (secret,) = sign.parse_keys([key])
        verify(strangers.headers(secret=secret), BODY, key)
        verify(strangers.headers(secret=secret), BODY, f" {key}\n")
    with pytest.raises(ValueError, match="24 bytes at least"):
        verify(strangers.headers(), BODY, f"whsec_{base64.b64encode(bytes(23)).decode()}")


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_in_node(tmp_path: Path) -> None:
    cases = [*strangers.texts(), *strangers.objects()]
    (tmp_path / "signature.js").write_text(block_with("callbacks", "js", "function verified("))
    (tmp_path / "cases.json").write_text(as_json(cases))

    def node(program: str) -> list[list[object]]:
        told = subprocess.run(["node", "-e", program], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (told.returncode, told.stderr) == (0, "")
        return [json.loads(line) for line in told.stdout.splitlines()]

    assert wrong(cases, node(NODE)[0]) == []
    assert {answer for line in node(NODE_BODIES) for answer in line} == {False}


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no go here")
def test_in_go(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module callback\n\ngo 1.20\n")
    (tmp_path / "callback.go").write_text(block_with("callbacks", "go", "func Verified"))
    (tmp_path / "callback_test.go").write_text(GO)
    (tmp_path / "cases.json").write_text(as_json(strangers.texts()))
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    told = subprocess.run(
        ["go", "test", "./..."], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_in_a_shell(tmp_path: Path) -> None:
    script = block_with("callbacks", "sh", "openssl dgst")
    cases = [one for one in strangers.texts() if "\0" not in "".join([one.key, *one.headers.values()])]
    answers = []
    for one in cases:
        (tmp_path / "body.json").write_bytes(one.body)
        names = {f"webhook_{name}": one.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")}
        environment = {"PATH": os.environ["PATH"], "key": one.key, **names}
        command = ["sh", "-euc", script]
        told = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        answers.append(told.returncode == 0)
        assert (told.returncode in {0, 1}, told.stderr) == (True, ""), one.name
        if one.key == KEY and one.headers.get("webhook-timestamp"):
            expected = strangers.signature(SECRET, names["webhook_timestamp"], one.body, message_id=names["webhook_id"])
            assert told.stdout.strip() == expected, one.name
    assert wrong(cases, answers) == []
