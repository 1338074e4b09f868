"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from api import defaults as module
from api.defaults import default_data_directory
from api.settings import Settings, SettingsError, read_settings, split_bind

KEY = "whsec_" + "A" * 32


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TASKPOST_{name.upper()}", raising=False)


def test_defaults_are_those_of_one_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = read_settings()
    assert (settings.bind, settings.executor, settings.data_dir) == ("127.0.0.1:8000", "local", tmp_path / "taskpost")
    assert settings.embedded
    assert settings.loopback_callbacks_allowed


def test_without_xdg_the_data_is_in_the_home(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_directory() == Path.home() / ".local/share/taskpost"


def test_in_a_cluster_the_executor_is_kubernetes(monkeypatch, tmp_path):
    token = tmp_path / "token"
    token.touch()
    monkeypatch.setattr(module, "SERVICE_ACCOUNT_TOKEN", token)
    assert (read_settings().executor, read_settings().concurrency) == ("kubernetes", 10)


def test_the_environment_is_read_and_an_option_goes_before_it(monkeypatch):
    monkeypatch.setenv("TASKPOST_CONCURRENCY", "7")
    monkeypatch.setenv("TASKPOST_TYPE_CONCURRENCY", "sleep=2, fibonacci=1")
    monkeypatch.setenv("TASKPOST_TASK_MODULES", "a.b,c")
    monkeypatch.setenv("TASKPOST_SIGNING_KEYS", f"{KEY} {KEY}\n")
    monkeypatch.setenv("TASKPOST_CALLBACK_RETRY_SECONDS", "1,2.5")
    monkeypatch.setenv("TASKPOST_REDIS_URL", "redis://:secret@localhost")
    settings = read_settings(bind="[::1]:0", grace_seconds=None)
    assert (settings.concurrency, settings.bind, settings.grace_seconds) == (7, "[::1]:0", 10)
    assert settings.type_concurrency == {"sleep": 2, "fibonacci": 1}
    assert settings.task_modules == ("a.b", "c")
    assert [key.get_secret_value() for key in settings.signing_keys] == [KEY, KEY]
    assert settings.callback_retry_seconds == (1, 2.5)
    assert not settings.loopback_callbacks_allowed
    assert "secret" not in repr(settings)


def test_lists_may_be_empty(monkeypatch):
    monkeypatch.setenv("TASKPOST_TASK_MODULES", " ")
    monkeypatch.setenv("TASKPOST_TYPE_CONCURRENCY", "")
    settings = read_settings()
    assert (settings.task_modules, settings.type_concurrency) == ((), {})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("concurrency", "many", "TASKPOST_CONCURRENCY is 'many': Input should be a valid integer"),
        ("concurrency", "0", "TASKPOST_CONCURRENCY is '0': Input should be greater than or equal to 1"),
        ("bind", "8000", "TASKPOST_BIND is '8000': host:port is wanted"),
        ("bind", "127.0.0.1:99999", "host:port is wanted"),
        ("bind", "::1:80", "host:port is wanted"),
        ("executor", "docker", "Input should be 'local' or 'kubernetes'"),
        ("instance", "a b", "TASKPOST_INSTANCE is 'a b': a name of 1 to 63"),
        ("root_path", "tasks/", "a path that begins with '/'"),
        ("type_concurrency", "sleep", "TASKPOST_TYPE_CONCURRENCY is 'sleep'"),
        ("callback_retry_seconds", "5,-1", "TASKPOST_CALLBACK_RETRY_SECONDS is '5,-1'"),
        ("callback_retry_seconds", "inf", "TASKPOST_CALLBACK_RETRY_SECONDS is 'inf'"),
        ("retention_seconds", "inf", "TASKPOST_RETENTION_SECONDS is 'inf'"),
        ("type_concurrency", "sleep=0", "greater than or equal to 1"),
        ("type_concurrency", "sleep=1,sleep=2", "a task type is named twice"),
        ("cors_origins", "foo", "origins are wanted, e.g. https://tasks.example.com"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(monkeypatch, name, value, words):
    monkeypatch.setenv(f"TASKPOST_{name.upper()}", value)
    with pytest.raises(SettingsError) as fault:
        read_settings()
    assert words in str(fault.value)
    monkeypatch.delenv(f"TASKPOST_{name.upper()}")
    with pytest.raises(SettingsError) as fault:
        read_settings(**{name: value})
    assert words in str(fault.value)


def test_every_wrong_value_is_named_at_once():
    with pytest.raises(SettingsError) as fault:
        read_settings(concurrency="x", max_attempts="y", no_such_thing="z")
    assert [line.split()[0] for line in str(fault.value).splitlines()] == [
        "TASKPOST_CONCURRENCY",
        "TASKPOST_MAX_ATTEMPTS",
        "TASKPOST_NO_SUCH_THING",
    ]


def test_a_secret_is_not_shown_when_it_is_wrong():
    with pytest.raises(SettingsError) as fault:
        read_settings(signing_keys=["whsec_secret", 5])
    assert "secret" not in str(fault.value)
    assert "(not shown)" in str(fault.value)


def test_two_sources_of_keys_are_one_too_many(tmp_path):
    with pytest.raises(SettingsError, match="both set; set one of them"):
        read_settings(signing_keys=KEY, signing_keys_file=tmp_path)


@pytest.mark.parametrize(
    ("bind", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:0", "::1", 0), ("localhost:8000", "localhost", 8000)],
)
def test_addresses(bind, host, port):
    assert split_bind(bind) == (host, port)


def test_every_setting_says_what_it_is_for_and_no_name_is_one_of_kubernetes():
    for name, field in Settings.model_fields.items():
        assert field.description
        assert field.description.endswith((".", "Valkey."))
        assert not name.endswith(("_port", "_host"))
        assert "_service_" not in f"taskpost_{name}"


def test_without_a_home_the_data_directory_is_asked_for(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setenv("XDG_DATA_HOME", "relative/paths/are/ignored")
    with pytest.raises(SettingsError, match="TASKPOST_DATA_DIR is not set"):
        read_settings(data_dir="")
