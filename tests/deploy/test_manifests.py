"""The kustomizations and install.yaml give what the chart gives by default, so that they cannot drift apart."""

from __future__ import annotations

import base64
import copy
import re
import shutil
import subprocess
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis

from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Slot, Submission
from api.settings import ENV_PREFIX, Settings
from runner.attempt import read_attempt
from runner.connect import connect, connect_async
from runner.contract import Env, State, changes_channel, key_prefix
from runner.delivery.post import Try
from runner.delivery.tries import Sent
from runner.outcome import Outcome
from runner.report import Report
from tests.deploy.rendering import (
    EXISTING,
    NAMESPACE,
    ROOT,
    Manifest,
    containers,
    kustomize,
    parse,
    pod_specs,
    template,
    the,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.valkey import ValkeyServer

MANIFESTS = ROOT / "manifests"
BASE = sorted(path for path in (MANIFESTS / "base").glob("*.yaml") if path.name != "kustomization.yaml")
OVERLAY = MANIFESTS / "overlays" / "default"
HELMS_OWN = ("helm.sh/chart", "app.kubernetes.io/managed-by")
CALL = re.compile(r"redis\.call\(\s*'([A-Z]+)'")
CONNECTION_COMMANDS = {
    *("auth", "hello", "ping", "select", "client|setinfo", "client|no-evict"),
    *("eval", "evalsha", "script|load", "wait"),
}
LIMITS = QueueLimits(max_length=10, max_bytes=10_000)


def normal(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """The objects by kind and name, with their namespace, without what is Helm's own."""
    found = {}
    for one in copy.deepcopy(list(manifests)):
        metadata = one["metadata"]
        for label in HELMS_OWN:
            metadata.get("labels", {}).pop(label, None)
        metadata.setdefault("namespace", NAMESPACE)
        for subject in one.get("subjects", []):
            subject.setdefault("namespace", NAMESPACE)
        found[f"{one['kind']}/{metadata['name']}"] = one
    return found


def without(names: Iterable[str], manifests: dict[str, Manifest]) -> dict[str, Manifest]:
    return {name: one for name, one in manifests.items() if name not in set(names)}


@pytest.fixture(scope="module")
def made_secrets() -> list[Manifest]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not in PATH")
    script = MANIFESTS / "secrets.sh"
    return parse(subprocess.run(["sh", script], capture_output=True, text=True, check=True).stdout)


def masked(secret: Manifest) -> Manifest:
    """A Secret as text, with what is random in it made the same."""
    plain = {name: base64.b64decode(value).decode() for name, value in secret.pop("data", {}).items()}
    secret["stringData"] = {
        name: re.sub(r"#[0-9a-f]{64}|:[0-9A-Za-z]{32}@|^[0-9A-Za-z]{32}$|whsec_\S{44}$", "?", text.rstrip("\n"))
        for name, text in (plain | secret.pop("stringData", {})).items()
    }
    return secret


def test_kustomize_gives_what_the_chart_gives():
    chart = normal(template("--skip-tests"))
    secrets = [name for name, one in chart.items() if one["kind"] == "Secret"]
    assert sorted(secrets) == ["Secret/taskpost-redis", "Secret/taskpost-runner"]
    overlay = normal(parse(kustomize(OVERLAY)))
    assert without(["Namespace/taskpost"], overlay) == without(secrets, chart)


def test_install_yaml_is_what_kustomize_renders():
    assert parse((MANIFESTS / "install.yaml").read_text()) == parse(kustomize(OVERLAY))


def test_install_yaml_is_what_the_chart_gives():
    installed = normal(parse((MANIFESTS / "install.yaml").read_text()))
    assert without(["Namespace/taskpost"], installed) == normal(template("--skip-tests", *EXISTING))


def test_install_yaml_holds_the_base():
    base = normal(one for path in BASE for one in parse(path.read_text()))
    installed = normal(parse((MANIFESTS / "install.yaml").read_text()))
    assert without(["Namespace/taskpost"], installed) == base


def test_the_script_makes_the_secrets_that_the_chart_makes(made_secrets: list[Manifest]):
    chart = {name: one for name, one in normal(template("--skip-tests")).items() if one["kind"] == "Secret"}
    made = normal(made_secrets)
    assert {name: masked(one) for name, one in made.items()} == {name: masked(one) for name, one in chart.items()}


def test_the_base_lists_all_its_files():
    listed = parse((MANIFESTS / "base" / "kustomization.yaml").read_text())[0]["resources"]
    assert listed == [path.name for path in BASE]


def test_no_secret_is_in_plain_sight():
    secret = {
        ENV_PREFIX + name.upper()
        for name, field in Settings.model_fields.items()
        if "SecretStr" in repr(field.annotation)
    }
    assert {"TASKPOST_REDIS_URL", "TASKPOST_SIGNING_KEYS"} <= secret
    for path in (*BASE, MANIFESTS / "install.yaml"):
        text = path.read_text()
        assert "whsec_" not in text
        assert not re.search(r"redis(s|\+sentinel)?://", text)
        for _, spec in pod_specs(parse(text)):
            for variable in (one for container in containers(spec) for one in container.get("env", [])):
                assert "value" not in variable or variable["name"] not in secret


def test_the_role_is_namespaced_and_small():
    rendered = [one for path in BASE for one in parse(path.read_text())]
    assert not [one for one in rendered if one["kind"].startswith("Cluster")]
    rules = the("Role", "taskpost", rendered)["rules"]
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {
        ("batch", "jobs"): {"create", "get", "list", "watch", "delete"},
        ("", "pods"): {"get", "list", "watch", "delete"},
        ("", "pods/log"): {"get"},
        ("", "events"): {"list", "watch"},
        ("", "configmaps"): {"get"},
    }
    assert [rule.get("resourceNames") for rule in rules] == [None, None, None, None, ["taskpost-jobs"]]


# ------------------------------------------------------------------------------------------ the users of the Valkey


def acl(secrets: list[Manifest]) -> dict[str, list[str]]:
    """The rules of each user in the ACL file."""
    lines = the("Secret", "taskpost-redis", secrets)["stringData"]["users.acl"].splitlines()
    return {words[1]: words[2:] for words in map(str.split, lines)}


def granted(rules: list[str]) -> set[str]:
    return {rule[1:] for rule in rules if rule.startswith("+")}


def test_the_runner_may_call_what_its_scripts_call_and_no_more(made_secrets: list[Manifest]):
    scripts = "".join(path.read_text() for path in (ROOT / "runner" / "lua").glob("*.lua"))
    called = {name.lower() for name in CALL.findall(scripts)}
    assert granted(acl(made_secrets)["runner"]) <= called | CONNECTION_COMMANDS
    assert acl(made_secrets)["default"] == ["off", "resetkeys", "resetchannels", "-@all"]


def test_users_reach_the_keys_and_channels_of_their_instance_only(made_secrets: list[Manifest]):
    for user in ("taskpost", "runner"):
        rules = acl(made_secrets)[user]
        assert [rule for rule in rules if rule[0] in "~&"] == [
            f"~{key_prefix('taskpost')}*",
            f"&{key_prefix('taskpost')}*",
        ]
        assert "resetchannels" in rules and not {"allkeys", "allchannels", "nopass"} & set(rules)


def test_the_docs_tell_the_same_rules(made_secrets: list[Manifest]):
    (line,) = re.findall(
        r"^user runner on >PASSWORD (.*)$", (ROOT / "docs" / "kubernetes.md").read_text(), re.MULTILINE
    )
    assert line.replace("INSTANCE", "taskpost").split() == acl(made_secrets)["runner"][2:]


async def test_service_and_runner_work_as_their_users(made_secrets: list[Manifest], own_valkey: ValkeyServer):
    secret = the("Secret", "taskpost-redis", made_secrets)["stringData"]
    with connect(own_valkey.url) as admin:
        for user, rules in reversed(acl(made_secrets).items()):  # the default user, who we are, comes last
            admin.execute_command("ACL", "SETUSER", user, "reset", *rules)
    urls = {
        user: own_valkey.url.replace("unix://", f"unix://{user}:{secret[key]}@")
        for user, key in (("taskpost", "password"), ("runner", "runner-password"))
    }
    async with connect_async(urls["taskpost"]) as client:
        queue = Queue(client, "taskpost")
        await client.info()
        await queue.probe()
        for index in range(3):
            await queue.submit(Submission("sleep", "{}", "http://127.0.0.1/", 0, 60_000, f"k{index}", ""), LIMITS)
        with connect(urls["runner"]) as runner_client:
            for index, status in enumerate(("delivered", "pending", "dead")):
                claim = await queue.claim(1, {"sleep": None})
                assert claim is not None
                attempt = read_attempt(
                    {
                        Env.REDIS_URL: "redis://unused",
                        Env.INSTANCE: "taskpost",
                        Env.TASK_ID: claim.attempt_id.task_id,
                        Env.ATTEMPT: str(claim.attempt_id.attempt),
                        Env.TOKEN: claim.token,
                        Env.HOLDER: uuid.uuid4().hex,
                    }
                )
                report = Report(runner_client, attempt)
                started = report.start()
                assert report.progress(50.0)
                error = None if index else {"code": "task_error", "message": "x"}
                outcome = Outcome(State.DONE if error is None else State.FAILED, "null", error, 99.0)
                for _ in range(2):
                    report.finish(outcome, b"{}", started.now_ms, until=time.monotonic() + 5, log=b"0\nwords")
                report.delivery(status, 1, Sent("runner", 0, Try("why")))
                await queue.release(Slot(claim.attempt_id, "sleep"))
                elsewhere = Report(runner_client, replace(attempt, instance="other"))
                with pytest.raises(redis.ResponseError, match="permission"):
                    elsewhere.progress(1.0)
            refused = (
                ("GET", f"{key_prefix('other')}probe"),
                ("KEYS", "*"),
                ("CONFIG", "GET", "dir"),
                ("ACL", "LIST"),
                ("FLUSHALL",),
                ("SCAN", "0"),
                ("INFO",),
                ("SUBSCRIBE", changes_channel("taskpost")),
                ("PUBLISH", changes_channel("other"), "x"),
            )
            for command in refused:
                with pytest.raises(redis.ResponseError, match=r"(?i)permission"):
                    runner_client.execute_command(*command)
        async with client.pubsub() as subscription:
            await subscription.subscribe(changes_channel("taskpost"))
        for command in (("CONFIG", "GET", "dir"), ("FLUSHALL",), ("ACL", "LIST")):
            with pytest.raises(redis.ResponseError, match="permission"):
                await client.execute_command(*command)
