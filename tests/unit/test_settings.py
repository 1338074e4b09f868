"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

import base64
import os
import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner

from api import defaults as module
from api.defaults import default_data_directory
from api.setting_forms import split_bind, split_own_name
from api.setting_rules import check_executor
from api.settings import Settings, SettingsError, read_settings

KEY = "whsec_" + "A" * 32


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith("TASKPOST_"):
            monkeypatch.delenv(name)


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


def test_an_executor_that_was_found_and_not_set_says_why(monkeypatch, tmp_path):
    token = tmp_path / "token"
    token.touch()
    monkeypatch.setattr(module, "SERVICE_ACCOUNT_TOKEN", token)
    with pytest.raises(ValueError, match=r"TASKPOST_EXECUTOR is 'kubernetes', since a .*token is mounted.*REDIS_URL"):
        check_executor(read_settings())
    with pytest.raises(ValueError, match="--executor is 'kubernetes': that needs TASKPOST_RUNNER_IMAGE, TASKPOST_RUN"):
        check_executor(read_settings(executor="kubernetes", redis_url="redis://h"))
    check_executor(read_settings(executor="local"))


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
        ("concurrency", "many", "is 'many': Expected a whole number from 1 to 10000. Slots"),
        ("concurrency", "0", "is '0': Expected a whole number from 1 to 10000. Slots"),
        ("concurrency", "2.5", "is '2.5': Expected a whole number from 1 to 10000. Slots"),
        ("bind", "8000", "is '8000': Expected host:port"),
        ("bind", "127.0.0.1:99999", "Expected host:port"),
        ("bind", f"127.0.0.1:{'9' * 5000}", "Expected host:port"),
        ("bind", "::1:80", "Expected host:port"),
        ("executor", "docker", "Expected local or kubernetes"),
        ("instance", "a b", "is 'a b': Expected a name of 1 to 63"),
        ("root_path", "tasks/", "Expected a path that begins with '/'"),
        ("type_concurrency", "sleep", "is 'sleep': Expected a whole number for sleep. Slots"),
        ("callback_retry_seconds", "5,-1", "is '5,-1': Expected a number above 0. Pauses"),
        ("callback_retry_seconds", "inf", "is 'inf': Expected a number up to 315360000. Pauses"),
        ("retention_seconds", "inf", "is 'inf': Expected a number above 0 and up to 315360000. Time"),
        ("type_concurrency", "sleep=0", "Expected a number of at least 1 for sleep"),
        ("type_concurrency", "sleep=1,sleep=2", "a task type is named twice"),
        ("cors_origins", "foo", "Expected origins, e.g. https://tasks.example.com"),
        ("allowed_hosts", "http://a", "Expected host names without a port, e.g. tasks.example.com"),
        ("allowed_hosts", "a.example:80", "Expected host names without a port"),
        ("allowed_hosts", "cafe:80", "Expected host names without a port"),
        ("allowed_hosts", "[::1]", "Expected host names without a port"),
        ("keep_alive_seconds", "0", "is '0': Expected a number above 0 and up to 3600. Time"),
        ("log_level", "loud", "is 'loud': Expected debug, info, warning or error. The least"),
        ("redis_exclusive", "maybe", "is 'maybe': Expected true or false. Whether"),
        ("redis_url", "ftp://h", "is (not shown): the scheme is not one of redis, rediss"),
        ("redis_url", "redis+sentinel://h", "is (not shown): a Sentinel address has the form redis+sentinel://host"),
        ("queue_max_length", "9" * 5000, "9...: Expected a whole number of at least 1. Tasks"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed_and_by_what_the_user_typed(monkeypatch, name, value, words):
    variable, option = f"TASKPOST_{name.upper()}", f"--{name.replace('_', '-')}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as fault:
        read_settings()
    assert str(fault.value).startswith(f"{variable} is ")
    assert words in str(fault.value)
    assert len(str(fault.value)) < 1000
    with pytest.raises(SettingsError) as fault:
        read_settings(**{name: value})
    assert str(fault.value).startswith(f"{option} is ")
    assert words in str(fault.value)


PYDANTIC = ("Input should", "Value error", "valid integer", "unable to", "pydantic", "For further", "another value")
GARBAGE = (
    "x", "nan", "inf", "-1", "0", "5.5", "1e999", "1" * 5000, "a=b", "=", "[", "{}", "null", ":", "\udcff",
    "\x1b[31m\n", 5, -1, 1.5, [], [1], {"a": 1}, object(), b"x",
)  # fmt: skip


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: repr(value)[:20])
def test_no_message_has_the_words_of_pydantic(value):
    with pytest.raises(SettingsError) as fault:
        read_settings(**dict.fromkeys(Settings.model_fields, value))
    for line in str(fault.value).splitlines():
        assert line.startswith("--")
        assert line.isprintable()
        assert not [words for words in PYDANTIC if words in line], line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"undelivered_max_bytes_per_receiver": 1000}, "--undelivered-max-bytes-per-receiver is 1000"),
        ({"undelivered_max_bytes_per_receiver": 1000}, "one result of TASKPOST_RESULT_MAX_BYTES"),
        ({"result_max_bytes": 64 * 1024 * 1024}, "one result of --result-max-bytes"),
        ({"result_max_bytes": 64 * 1024 * 1024}, "TASKPOST_UNDELIVERED_MAX_BYTES_PER_RECEIVER is 33554432"),
        ({"undelivered_max_bytes": 10_000_000}, "--undelivered-max-bytes is 10000000"),
    ],
)
def test_a_bound_that_no_result_fits_into_stops_the_start(given, words):
    with pytest.raises(SettingsError) as fault:
        read_settings(**given)
    assert words in str(fault.value)


def test_every_rule_that_settings_break_together_is_named_at_once():
    with pytest.raises(SettingsError) as fault:
        read_settings(redis_min_replicas=2, undelivered_max_bytes=10_000_000, callback_key_file="x")
    first, *others = str(fault.value).splitlines()
    assert first.startswith("--callback-key-file is set without")
    assert [line.partition(" ")[0] for line in others] == ["--redis-min-replicas", "--undelivered-max-bytes"]


def test_every_wrong_value_is_named_at_once(monkeypatch):
    monkeypatch.setenv("TASKPOST_CONCURENCY", "4")
    monkeypatch.setenv("TASKPOST_MAX_ATTEMPTS", "y")
    with pytest.raises(SettingsError) as fault:
        read_settings(concurrency="x", no_such_thing="z", port="http")
    assert [line.split()[0] for line in str(fault.value).splitlines()] == [
        "TASKPOST_CONCURENCY",
        "--port",
        "--concurrency",
        "TASKPOST_MAX_ATTEMPTS",
        "--no-such-thing",
    ]


def test_a_variable_in_lower_case_is_read_and_shown(monkeypatch):
    monkeypatch.setenv("taskpost_max_attempts", "y")
    with pytest.raises(SettingsError, match="TASKPOST_MAX_ATTEMPTS is 'y'"):
        read_settings()


@pytest.mark.parametrize("level", ["DEBUG", "Debug", " debug "])
def test_choices_may_be_in_upper_case(monkeypatch, level):
    assert read_settings(log_level=level).log_level == "debug"
    monkeypatch.setenv("TASKPOST_LOG_LEVEL", level)
    monkeypatch.setenv("TASKPOST_EXECUTOR", "LOCAL")
    settings = read_settings(log_format="JSON", callback_keep_answers="Public")
    assert (settings.log_level, settings.executor) == ("debug", "local")
    assert (settings.log_format, settings.callback_keep_answers) == ("json", "public")


@pytest.mark.parametrize(
    ("environment", "option", "port", "bind"),
    [
        (None, None, "9000", "127.0.0.1:9000"), (None, None, "0", "127.0.0.1:0"),
        ("0.0.0.0:80", None, "9", "0.0.0.0:9"),
        ("[::1]:80", None, "9000", "[::1]:9000"), ("0.0.0.0:80", "localhost:9", "9", "localhost:9"),
        (None, "0.0.0.0", "9", "0.0.0.0:9"), (None, "[::]", "9", "[::]:9"), (None, "::1", "9", "[::1]:9"),
        (None, "0.0.0.0:9", None, "0.0.0.0:9"), (None, "0.0.0.0:9", "", "0.0.0.0:9"),
    ],
)  # fmt: skip
def test_a_port_is_that_of_the_address(monkeypatch, environment, option, port, bind):
    if environment:
        monkeypatch.setenv("TASKPOST_BIND", environment)
    settings = read_settings(bind=option, port=port)
    assert settings.bind == bind
    assert settings.label("bind") == ("--bind" if option else "TASKPOST_BIND")


@pytest.mark.parametrize(
    ("bind", "port", "words"),
    [
        (None, "http", "--port is 'http': Expected a whole number from 0 to 65535"),
        (None, "65536", "--port is '65536': Expected a whole number from 0 to 65535"),
        (None, "-1", "--port is '-1': Expected"), (None, "9" * 5000, "9...: Expected a whole number"),
        ("0.0.0.0:80", "81", "--bind is '0.0.0.0:80' and --port is '81': both name a port. Leave one of them out"),
    ],
)  # fmt: skip
def test_a_port_that_is_none_or_one_too_many_is_named(bind, port, words):
    with pytest.raises(SettingsError) as fault:
        read_settings(bind=bind, port=port)
    assert words in str(fault.value)


def test_a_port_in_a_variable_is_that_of_kubernetes(monkeypatch):
    monkeypatch.setenv("TASKPOST_PORT", "tcp://10.96.0.7:80")
    assert read_settings().bind == "127.0.0.1:8000"
    assert read_settings(port="9000").bind == "127.0.0.1:9000"


def test_a_secret_is_not_shown_when_it_is_wrong():
    with pytest.raises(SettingsError) as fault:
        read_settings(signing_keys=["whsec_secret", 5])
    assert "secret" not in str(fault.value)
    assert "(not shown)" in str(fault.value)


SECRET = "s3cr3t"
MALFORMED = {
    "redis_url": [
        f"redis://u:{SECRET}@h:port", f"redis://h:{SECRET}", f"redis://u:{SECRET}/x@h:6379/0", f"redis://u:{SECRET}#@h",
        f"u:{SECRET}@h:6379", f"{SECRET}://h", f"http://u:{SECRET}@h", f"redis://[u:{SECRET}@h", f"redis+sentinel://{SECRET}",
        f"redis+sentinel://u:{SECRET}@h:{SECRET}/s", f"redis+sentinel://h/s/{SECRET}", f"redis://h/?db={SECRET}",
        f"redis://u:{SECRET}\u2100@h", f"redis://h:6379/0?socket_timeout={SECRET}", f"redis://h/{SECRET}",
    ],
    "callback_proxy": [
        f"http://u:{SECRET}@h:port", f"http://u:{SECRET}@h:99999", f"http://u:{SECRET}@", f"http//u:{SECRET}@h:3128",
        f"socks5://u:{SECRET}@h:1080", f"u:{SECRET}@h:3128", f"http://u:{SECRET}@h:3128/path", f"http://u:{SECRET} @h",
        f"http://u:{SECRET}#@h:3128", f"http://u:a/{SECRET}@h", f"http://h:0@{SECRET}:{SECRET}", f"http://u:{SECRET}@[::1",
    ],
    "signing_keys": [SECRET, f"whsec_{SECRET}", f"whsec_{SECRET}=", f"{KEY} {SECRET}", f"whsec_{SECRET * 100}"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
def test_a_secret_that_is_malformed_is_in_no_message(monkeypatch, tmp_path, name, value):
    from api.commands.serve import serve

    for environment in (True, False):
        if environment:
            monkeypatch.setenv(f"TASKPOST_{name.upper()}", value)
        else:
            monkeypatch.delenv(f"TASKPOST_{name.upper()}")
        monkeypatch.setenv("TASKPOST_DATA_DIR", str(tmp_path))
        options = ["--bind", "127.0.0.1:0"] + ([] if environment else [f"--{name.replace('_', '-')}", value])
        told = CliRunner().invoke(serve, options)
        said = told.output + told.stderr + "".join(traceback.format_exception(told.exception))
        assert told.exit_code == 2, said
        assert SECRET not in said
        assert (f"TASKPOST_{name.upper()}" if environment else f"--{name.replace('_', '-')}") in said


def test_no_secret_is_in_what_is_shown_of_settings_and_attempts():
    from runner.attempt import read_attempt

    proxy = f"http://u:{SECRET}@h:3128"
    key = "whsec_" + base64.b64encode(SECRET.encode() * 5).decode()
    settings = read_settings(redis_url=f"redis://:{SECRET}@h", callback_proxy=proxy, signing_keys=key)
    environment = {
        "TASKPOST_REDIS_URL": f"redis://:{SECRET}@h", "TASKPOST_SIGNING_KEYS": key, "TASKPOST_CALLBACK_PROXY": proxy,
        "TASKPOST_TASK_ID": "x", "TASKPOST_ATTEMPT": "1", "TASKPOST_TOKEN": "t",
    }  # fmt: skip
    for shown in (repr(settings), str(settings), str(settings.model_dump()), repr(read_attempt(environment))):
        assert SECRET not in shown
        assert key not in shown


def test_allowed_hosts():
    assert read_settings(allowed_hosts="Tasks.Example.com., *.a.example,::1").allowed_hosts == (
        "tasks.example.com",
        "*.a.example",
        "::1",
    )
    assert read_settings().keep_alive_seconds == 75


@pytest.mark.parametrize(
    ("bind", "listening", "loopback"),
    [
        ("127.0.0.1:80", None, True), ("localhost:80", None, True), ("[::1]:80", ("::1", 80), True),
        ("my-laptop:80", ("127.0.1.1", 80), True), ("my-laptop:80", ("10.0.0.1", 80), False),
        ("0.0.0.0:80", ("0.0.0.0", 80), False), ("[::]:80", ("::", 80), False),
        ("[::ffff:127.0.0.1]:80", ("::ffff:127.0.0.1", 80), True),
    ],
)  # fmt: skip
def test_whether_hosts_are_checked_depends_on_the_address(bind, listening, loopback):
    from api.app import _is_loopback

    assert _is_loopback(bind, listening) is loopback


@pytest.mark.parametrize(
    "proxy",
    ["http://h:3128", "https://h", "http://u:p@h:3128/", "http://u:p%2F%40@[::1]:3128", "HTTP://proxy.example:80"],
)
def test_proxies(proxy):
    assert read_settings(callback_proxy=proxy).callback_proxy.get_secret_value() == proxy


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tasks.example.com", ("tasks.example.com", 0)), ("Taskpost.ns.svc.:80", ("taskpost.ns.svc", 80)),
        ("*.example.com", ("*.example.com", 0)), ("203.0.113.7:443", ("203.0.113.7", 443)), ("::1", ("::1", 0)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
    ],
)  # fmt: skip
def test_own_names(text, name):
    assert split_own_name(text) == name
    assert read_settings(callback_own_names=f"a.example, {text}").callback_own_names == ("a.example", text)


@pytest.mark.parametrize(
    "text", ["http://a.example", "a.example:0", "a.example:99999", "a b", "-", "*", "*.a:80", "a/b"]
)
def test_own_names_of_another_form_are_refused(text):
    with pytest.raises(SettingsError, match="--callback-own-names"):
        read_settings(callback_own_names=[text])


@pytest.mark.parametrize(
    "bind", ["0.0.0.0:8000", "[::]:8000", "192.168.0.1:8000", "myhost:8000", "0:80", "[::ffff:10.0.0.1]:80"]
)
def test_callbacks_to_loopback_need_a_service_on_loopback(bind):
    assert not read_settings(bind=bind).loopback_callbacks_allowed
    with pytest.raises(SettingsError) as fault:
        read_settings(bind=bind, callback_allow_loopback=True)
    assert f"--callback-allow-loopback is true and --bind is '{bind}'" in str(fault.value)


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:0", "[::1]:80", "localhost:80", "127.1:80", "127.9.9.9:80", "LOCALHOST.:80"]
)
def test_a_service_on_loopback_may_call_it(bind):
    assert read_settings(bind=bind).loopback_callbacks_allowed
    assert read_settings(bind=bind, redis_url="redis://h", callback_allow_loopback=True).loopback_callbacks_allowed
    assert not read_settings(bind=bind, callback_allow_loopback=False).loopback_callbacks_allowed


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


def test_replicas_that_can_never_be_there_stop_the_start():
    with pytest.raises(SettingsError, match=r"--redis-min-replicas is 2; .*no replicas.*TASKPOST_REDIS_URL"):
        read_settings(redis_min_replicas="2")
    assert read_settings(redis_min_replicas="2", redis_url="redis://127.0.0.1").redis_min_replicas == 2
