"""`taskpost signing-key`: the key that receivers need, and its exchange while a service runs."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from taskpost.receiver import SignatureInvalid, verify

from api.commands import signing_key as command
from api.signing_keys import MOST_KEYS
from runner.delivery.sign import parse_keys
from tests.support.service import eventually

TASKPOST = Path(sys.executable).with_name("taskpost")
KEYS = [f"whsec_{base64.b64encode(bytes([number] * 32)).decode()}" for number in range(3)]


def run(*arguments, **variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKPOST_")}
    return subprocess.run(
        [TASKPOST, "signing-key", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=clean | variables,
    )


def key_of(*arguments, **variables):
    told = run(*arguments, **variables)
    assert told.returncode == 0, told.stderr
    (key,) = told.stdout.splitlines()
    assert parse_keys([key])
    return key


def test_receivers_go_over_from_one_key_to_the_next(service, receiver, data_directory):
    directory = {"TASKPOST_DATA_DIR": str(data_directory)}

    def callback_key_fits(*keys):
        with service.client() as client:
            client.submit("sleep", {"seconds": 0}, result_url=receiver.url)
        received = receiver.next(30)
        try:
            verify(received.headers, received.body, keys)
        except SignatureInvalid:
            return False
        return True

    first = key_of(**directory)
    assert callback_key_fits(first)
    second = key_of("--rotate", **directory)
    assert second != first
    assert key_of(**directory) == second
    eventually(lambda: callback_key_fits(second), of="the next key signs")
    assert callback_key_fits(first)
    assert run("--all", **directory).stdout.split() == [first, second]
    assert key_of("--retire", **directory) == second
    eventually(lambda: not callback_key_fits(first), of="the first key does not sign")
    assert callback_key_fits(second)


def test_the_key_is_made_before_the_first_start(tmp_path):
    directory = tmp_path / "data"
    with ThreadPoolExecutor(4) as threads:
        keys = set(threads.map(lambda _: key_of("--data-dir", str(directory)), range(4)))
    assert len(keys) == 1
    assert stat.S_IMODE((directory / "signing-keys").stat().st_mode) == 0o600
    assert [path.name for path in directory.iterdir()] == ["signing-keys"]


def test_changes_at_the_same_time_are_all_kept(tmp_path):
    directory = tmp_path / "data"
    first = key_of("--data-dir", str(directory))
    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(lambda _: key_of("--rotate", "--data-dir", str(directory)), range(4)))
    assert set((directory / "signing-keys").read_text().split()) == {first, *made}
    assert len(made) == 4


def test_a_file_of_keys_keeps_its_mode_and_its_link(tmp_path):
    file, link = tmp_path / "keys", tmp_path / "link"
    file.write_text(f"{KEYS[0]}\n")
    file.chmod(0o640)
    link.symlink_to(file)
    variables = {"TASKPOST_SIGNING_KEYS_FILE": str(link)}
    assert key_of(**variables) == KEYS[0]
    made = key_of("--rotate", **variables)
    assert file.read_text().split() == [KEYS[0], made]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert link.is_symlink()


def test_keys_of_a_variable_cannot_be_changed_and_that_is_said():
    variables = {"TASKPOST_SIGNING_KEYS": f"{KEYS[0]},{KEYS[1]}"}
    assert key_of(**variables) == KEYS[1]
    told = run("--rotate", **variables)
    assert told.returncode == 0
    assert parse_keys([told.stdout.strip()])
    assert "The new key is NOT in force: the keys are in TASKPOST_SIGNING_KEYS" in told.stderr
    retired = run("--retire", **variables)
    assert (retired.returncode, retired.stdout) == (1, "")
    assert "Nothing was removed" in retired.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{KEYS[0]}\n")
    tmp_path.chmod(0o500)
    told = run("--rotate", TASKPOST_SIGNING_KEYS_FILE=str(file))
    tmp_path.chmod(0o700)
    assert f"The new key is NOT in force: {file} cannot be written" in told.stderr


def test_keys_in_a_place_that_takes_no_files(tmp_path, monkeypatch, capsys):
    """A Secret is mounted read-only; root can write anywhere else."""
    file = tmp_path / "keys"
    file.write_text(f"{KEYS[0]}\n")

    def refuse(*_):
        raise OSError(30, "Read-only file system", str(file))

    monkeypatch.setattr("api.signing_keys._replace", refuse)
    monkeypatch.setenv("TASKPOST_SIGNING_KEYS_FILE", str(file))
    command.signing_key(["--rotate"], standalone_mode=False)
    told = capsys.readouterr()
    assert parse_keys(told.out.split())
    assert "NOT in force" in told.err
    assert "Read-only file system" in told.err
    assert file.read_text().split() == [KEYS[0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "There is no key in"), ("hush", "a signing key begins with whsec_"), ("\xff", "cannot be used")],
)
def test_a_file_without_a_right_key(tmp_path, text, words):
    file = tmp_path / "keys"
    file.write_bytes(text.encode("latin-1"))
    told = run(TASKPOST_SIGNING_KEYS_FILE=str(file))
    assert (told.returncode, told.stdout) == (2, "")
    assert words in told.stderr
    assert "hush" not in told.stderr
    assert "Traceback" not in told.stderr


def test_keys_have_a_highest_number(tmp_path):
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS[:1] * MOST_KEYS))
    told = run("--rotate", TASKPOST_SIGNING_KEYS_FILE=str(file))
    assert told.returncode == 2
    assert f"has {MOST_KEYS} keys already" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (("--rotate", "--retire"), {}, "two steps"),
        ((), {"TASKPOST_REDIS_URL": "redis://127.0.0.1:1"}, "There is no key in TASKPOST_SIGNING_KEYS"),
        ((), {"TASKPOST_SIGNING_KEYS_FILE": "/no/such"}, "The signing keys cannot be read"),
        (("--data-dir", "/dev/null/x"), {}, "cannot be the data directory"),
        ((), {"TASKPOST_CONCURRENCY": "none"}, "CONCURRENCY is 'none'"),
    ],
)
def test_what_is_wrong_is_said(arguments, variables, words):
    told = run(*arguments, **variables)
    assert told.returncode in {1, 2}
    assert words in told.stderr
    assert told.stdout == ""
    assert "Traceback" not in told.stderr


def test_json(tmp_path):
    told = json.loads(run("--json", "--data-dir", str(tmp_path / "data")).stdout)
    assert told["keys"] == [told["key"]]
    assert told["where"] == str(tmp_path / "data" / "signing-keys")


def test_a_directory_that_others_can_write_to_is_not_read(tmp_path):
    directory = tmp_path / "data"
    key_of("--data-dir", str(directory))
    directory.chmod(0o777)
    told = run("--data-dir", str(directory))
    assert (told.returncode, told.stdout) == (1, "")
    assert "others can write to" in told.stderr
