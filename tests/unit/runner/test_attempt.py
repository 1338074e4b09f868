"""The environment of a runner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runner.attempt import EnvironmentInvalid, read_attempt
from runner.contract import EXIT_USAGE

GIVEN = {
    "TASKPOST_REDIS_URL": "redis://localhost",
    "TASKPOST_TASK_ID": "id",
    "TASKPOST_ATTEMPT": "3",
    "TASKPOST_TOKEN": "token",
}


def test_the_least_there_is():
    attempt = read_attempt(GIVEN)
    assert (attempt.task_id, attempt.number, attempt.token, attempt.instance) == ("id", 3, "token", "default")
    assert attempt.holder
    assert attempt.holder != read_attempt(GIVEN).holder
    assert (attempt.callback_policy, attempt.callback_ca_file) == ("", None)
    assert attempt.signing_key_texts() == []


def test_all_there_is(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("whsec_a\nwhsec_b\n")
    more = {
        "TASKPOST_INSTANCE": "one",
        "TASKPOST_HOLDER": "pod",
        "TASKPOST_TASK_MODULES": "a b.c",
        "TASKPOST_RESULT_MAX_BYTES": "10",
        "TASKPOST_SIGNING_KEYS_FILE": str(keys),
        "TASKPOST_CALLBACK_POLICY": "{}",
        "TASKPOST_CALLBACK_PROXY": "http://proxy",
        "TASKPOST_CALLBACK_CA_FILE": "/ca",
        "TASKPOST_CALLBACK_CERTIFICATE_FILE": "/certificate",
        "TASKPOST_CALLBACK_KEY_FILE": "/key",
        "TASKPOST_CALLBACK_RETRY_SECONDS": "5 30.5",
    }
    attempt = read_attempt(GIVEN | more)
    assert (attempt.instance, attempt.holder, attempt.task_modules) == ("one", "pod", ("a", "b.c"))
    assert (attempt.result_max_bytes, attempt.signing_keys_file) == (10, Path(keys))
    assert attempt.signing_key_texts() == ["whsec_a", "whsec_b"]
    assert (attempt.callback_policy, attempt.callback_proxy) == ("{}", "http://proxy")
    assert attempt.callback_ca_file == Path("/ca")
    assert (attempt.callback_certificate_file, attempt.callback_key_file) == (Path("/certificate"), Path("/key"))
    assert attempt.callback_retry_seconds == (5, 30.5)


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_missing_is_named(name):
    with pytest.raises(EnvironmentInvalid, match=f"{name} is not set"):
        read_attempt({key: value for key, value in GIVEN.items() if key != name})


def test_what_is_wrong_is_named():
    with pytest.raises(EnvironmentInvalid, match=r"attempt.* are numbers.*'x'"):
        read_attempt(GIVEN | {"TASKPOST_ATTEMPT": "x"})


def test_a_runner_started_by_hand_says_what_it_lacks():
    ended = subprocess.run([sys.executable, "-m", "runner"], env={}, capture_output=True, text=True, check=False)
    assert ended.returncode == EXIT_USAGE
    assert ended.stderr == "taskpost runner: TASKPOST_REDIS_URL is not set; a runner is started by the service\n"
