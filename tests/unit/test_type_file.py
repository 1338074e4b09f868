"""Files of task types that pass the check work at the start; all others are refused with the place of their faults."""

# ruff: noqa: E501 - the rows of tables are lines

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.catalog import LOOK_SECONDS, Catalog
from api.commands.check_types import check_types
from api.core.observation import AttemptId
from api.executors.base import AttemptSpec
from api.executors.kubernetes.job import build_job
from api.executors.kubernetes.pods import PodFile, PodFileInvalid, read_pod_file
from api.executors.kubernetes.template import JobSettings
from api.settings import SettingsError, read_settings
from api.strict_yaml import MAX_BYTES, MAX_VALUES
from api.type_file import TypeFileInvalid, read_type_file
from runner.tasks.registry import BUILT_IN, load_all

KNOWN = load_all()
SECRETS = ("taskpost-redis", "taskpost-runner")
PROGRAM = "command: [x], image: y, input_schema: {}"


def read(tmp_path: Path, text: str | bytes, pods: PodFile | None = None):
    path = tmp_path / "types.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return read_type_file(path, KNOWN, {}, secrets=SECRETS, pods=pods)


def refused(tmp_path: Path, text: str | bytes, pods: PodFile | None = None) -> str:
    with pytest.raises(TypeFileInvalid) as caught:
        read(tmp_path, text, pods)
    message = str(caught.value)
    assert len(message) < 20_000
    assert all(line.startswith(f"{tmp_path}/types.yaml: ") for line in message.split("\n"))
    assert message.replace("\n", "").isprintable()
    return message.replace(f"{tmp_path}/types.yaml: ", "")


def of_pod(pod: str) -> str:
    return f"task_types: {{x: {{{PROGRAM}, pod: {{{pod}}}}}}}"


def named(text: str) -> set[str]:
    """The built-in types that a text names: what it says of them is wrong."""
    return {name for name in BUILT_IN if name in text}


def laughs(line: str) -> str:
    """Nine lines that stand for ten to the ninth values."""
    letters = "abcdefghi"
    first = f"a: &a {line}\n"
    return first + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise(letters)
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2024-01-01", "2024-01-01 is a date, which JSON does not have: write text, in quotes"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z is a date"),
        ("!!binary aGFsbG8=", "aGFsbG8= is binary data"),
        ("!!set {a, b}", "this is a set"),
        ("!!omap [a: 1]", "this is an ordered map"),
        ("!!python/object/apply:os.system [x]", "this is of the type tag:yaml.org,2002:python"),
        ("!own x", "x is of the type !own"),
        (".nan", ".nan is not a value of JSON"),
        ("-.inf", "-.inf is not a value of JSON"),
        ("1.0e+400", "1.0e+400 is not a value of JSON"),
        ("9" * 5000, "is not a value of JSON: numbers are finite, of at most 4300 digits"),
        ("0x" + "f" * 5000, "is not a value of JSON"),
        ("12:30", "12:30 is 750 to YAML, which reads it in base 60: write it in quotes"),
        ("1:30.5", "1:30.5 is 90.5 to YAML"),
        ("!!int x", "x is not a value of JSON"),
        ("!!bool x", "x is not a value of JSON"),
        ('"\\ud800"', "\\ud800 has a lone surrogate"),
    ],
)
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (of_pod("env: [{name: SINCE, value: VALUE}]"), "task_types.x.pod.env.0.value"),
        (of_pod("affinity: {a: [VALUE]}"), "task_types.x.pod.affinity.a.0"),
        (f"task_types: {{x: {{{PROGRAM}, env: {{SINCE: VALUE}}}}}}", "task_types.x.env.SINCE"),
        (f"task_types: {{x: {{{PROGRAM}, egress: [{{to: VALUE}}]}}}}", "task_types.x.egress.0.to"),
        ("task_types: {sleep: {example: {a: [1, VALUE]}}}", "task_types.sleep.example.a.1"),
        ("task_types: {sleep: {input_schema: {const: VALUE}}}", "task_types.sleep.input_schema.const"),
    ],
)
def test_what_json_does_not_have_is_refused_with_its_place(tmp_path, text, place, value, words):
    message = refused(tmp_path, text.replace("VALUE", value))
    assert message.startswith(f"{place}: ") and words in message


@pytest.mark.parametrize(
    "name", ["1", "1.5", "yes", "null", "2024-01-01", "[a]", "{a: b}", ".nan", "!!binary aGFsbG8="]
)
def test_names_are_text(tmp_path, name):
    message = refused(tmp_path, f"task_types: {{sleep: {{example: {{a: {{? {name} : 1}}}}}}}}")
    assert message.startswith("task_types.sleep.example.a: the name ") and "quotes" in message
    assert refused(tmp_path, f"task_types: {{? {name} : {{}}}}").startswith("task_types: the name ")


@pytest.mark.parametrize(
    "text",
    [
        laughs("[lol]"),
        "a: &a {x: 1}\n" + "".join(f"{n}: &{n} {{<<: [{', '.join([f'*{b}'] * 10)}]}}\n" for b, n in zip("abcdefg", "bcdefgh", strict=True)),
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: &a {<<: *a}",
        "&a a: *a\nb: &b [[[*b]]]",
        "[" * 2000,
        "[" * 200 + "]" * 200,
        "a: " + "{a: " * 150 + "1" + "}" * 150,
        "\n".join("  " * level + "a:" for level in range(500)),
        "- " * 5000 + "a",
        "a: " + "[1, " * 90 + "1" + "]" * 90 + "\n" + "b: " + str([1] * MAX_VALUES),
        "a: &a " + "x" * 600_000 + "\nb: *a",
        "#" + "x" * MAX_BYTES,
        b"\xff\xfe",
        b"a: \x00",
        "a: \x1b[31m",
        "a: b: c",
        "--- a\n--- b",
        "{\x85",
        "a: =",
    ],
)  # fmt: skip
def test_what_is_not_yaml_or_too_much_is_refused_fast(tmp_path, text):
    begin = time.process_time()
    assert refused(tmp_path, text)
    assert time.process_time() - begin < 5


def test_a_file_without_end_is_not_read_to_its_end():
    with pytest.raises(TypeFileInvalid, match="more than 1048576 bytes"):
        read_type_file(Path("/dev/zero"), KNOWN, {})


def test_anchors_and_merges_of_an_honest_file(tmp_path):
    text = f"""
defaults: &unused {{a: 1}}
task_types:
  one: {{{PROGRAM}, pod: &pod {{labels: &labels {{team: a}}, nodeSelector: {{pool: large}}}}}}
  two: {{{PROGRAM}, pod: {{<<: *pod, labels: {{<<: *labels, tier: b}}}}}}
"""
    types = read(tmp_path, text.replace("defaults: &unused {a: 1}\n", ""))
    assert types["two"].pod == {"labels": {"team": "a", "tier": "b"}, "node_selector": {"pool": "large"}}
    assert refused(tmp_path, text).startswith("defaults: ")


@pytest.mark.parametrize(
    ("pod", "place"),
    [
        ("env: [{name: A, value: 8080}]", "env.0.value: 8080 is not text"),
        ("env: [{name: A, value: true}]", "env.0.value: True is not text"),
        ("env: [{name: A, value: {}}]", "env.0.value: {} is not text"),
        ('env: [{name: A, value: "\\0"}]', "env.0.value: "),
        ("env: [{value: a}]", "env.0.name: None is not the name"),
        ("env: [{name: 1, value: a}]", "env.0.name: 1 is not the name"),
        ("env: [{name: '', value: a}]", "env.0.name: "),
        ("env: [{name: A=B, value: a}]", "env.0.name: "),
        ("env: [{name: TASKPOST_TOKEN, value: a}]", "env.0.name: TASKPOST_TOKEN is the runner's own"),
        ("env: [{name: A, value: a, valueFrom: {fieldRef: {fieldPath: a}}}]", "env.0: `value` and `valueFrom`"),
        ("env: [{name: A, valeu: a}]", "env.0: a variable has"),
        ("env: [{name: A, valueFrom: a}]", "env.0: a variable has"),
        ("env: [{name: A, valueFrom: {secretKeyRef: {name: taskpost-runner, key: redis-url}}}]", "env.0: taskpost-runner is a Secret"),
        *((f"volumes: [{{name: {name}, emptyDir: {{}}}}]", f"volumes.0.name: {name} is a volume of Taskpost") for name in (
            "tmp", "taskpost", "taskpost-directory", "taskpost-tmp", "redis-ca", "callback-ca", "callback-certificate")),
        ("volumes: [{name: Up, emptyDir: {}}]", "volumes.0.name: 'Up' is not the name"),
        ("volumes: [{emptyDir: {}}]", "volumes.0.name: None is not the name"),
        ("volumes: [{name: a, emptyDir: {}, hostPath: {path: /}}]", "volumes.0: a volume has"),
        ("volumes: [{name: a, emptyDir: x}]", "volumes.0: a volume has"),
        ("volumes: [{name: a, secret: {secretName: taskpost-runner}}]", "volumes.0: taskpost-runner is a Secret of Taskpost"),
        ("volumes: [{name: a, secret: {secretName: taskpost-redis}}]", "volumes.0: taskpost-redis is a Secret of Taskpost"),
        ("volumes: [{name: a, projected: {sources: [{configMap: {name: c}}, {secret: {name: taskpost-runner, items: []}}]}}]",
         "volumes.0: taskpost-runner is a Secret"),
        ("volumes: [{name: a, csi: {driver: d, nodePublishSecretRef: {name: taskpost-runner}}}]", "volumes.0: taskpost-runner is"),
        ("volumes: [{name: a, cephfs: {monitors: [m], secretRef: {name: taskpost-runner}}}]", "volumes.0: taskpost-runner is"),
        *((f"volumeMounts: [{{name: {name}, mountPath: /x}}]", f"volumeMounts.0.name: '{name}' is not a volume that may be") for name in (
            "tmp", "taskpost", "taskpost-directory", "taskpost-tmp", "callback-certificate")),
        ("volumeMounts: [{name: taskpost, mountPath: /x, subPath: redis-url}]", "volumeMounts.0.name: "),
        *((f"volumes: [{{name: a, emptyDir: {{}}}}], volumeMounts: [{{name: a, mountPath: '{path}'}}]", f"volumeMounts.0.mountPath: {path} is at,")
          for path in ("/run/secrets/taskpost", "/run/secrets/taskpost/", "/run/secrets/taskpost/x", "/run//secrets/./taskpost",
                       "/run/secrets", "/run", "/", "//", "/x/../run/secrets/taskpost", "/var/run/secrets/taskpost", "/var/run",
                       "/taskpost", "/taskpost/", "/taskpost/input.json", "//taskpost", "/etc/taskpost/redis-ca", "/etc")),
        ("volumes: [{name: a, emptyDir: {}}], volumeMounts: [{name: a, mountPath: /tmp/}]", "volumeMounts.0.mountPath: /tmp/ is mounted"),
        ("volumes: [{name: a, emptyDir: {}}], volumeMounts: [{name: a, mountPath: x}]", "volumeMounts.0.mountPath: 'x' is not an abs"),
        ("volumes: [{name: a, emptyDir: {}}], volumeMounts: [{name: a, mountPath: '/x:y'}]", "volumeMounts.0.mountPath: "),
        ("volumes: [{name: a, emptyDir: {}}], volumeMounts: [{name: a, mountPath: /x, subPath: ../y}]", "volumeMounts.0.subPath: "),
        ("volumes: [{name: a, emptyDir: {}}], volumeMounts: [{name: a, mountPath: /x, subPath: /y}]", "volumeMounts.0.subPath: "),
        ("volumes: [{name: a, emptyDir: {}}], volumeMounts: [{name: a, mountPath: /x, subPathExpr: a/../y}]", "volumeMounts.0.subPathExpr"),
        ("volumeMounts: [{mountPath: /x}]", "volumeMounts.0.name: None is not"),
        ("runAsUser: 0", "runAsUser: "),
        ("runAsUser: -1", "runAsUser: "),
        ("runAsUser: 2147483648", "runAsUser: "),
        ("runAsUser: '0'", "runAsUser: "),
        ("resources: {limits: {memory: much}}", "resources.limits.memory: 'much' is not a quantity"),
        ("resources: {requests: {cpu: true}}", "resources.requests.cpu: True is not a quantity"),
        ("resources: {requests: {cpu: [1]}}", "resources.requests.cpu: "),
        ("labels: {a: 'b c'}", "labels.a: 'b c' is not the value of a label"),
        ("labels: {a: 1}", "labels.a: "),
        ("nodeSelector: {a: " + "x" * 64 + "}", "nodeSelector.a: "),
        ("annotations: {a: 1}", "annotations.a: "),
    ],
)  # fmt: skip
def test_what_no_pod_can_have_or_may_have_is_refused(tmp_path, pod, place):
    assert refused(tmp_path, of_pod(pod)).startswith(f"task_types.x.pod.{place}")


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ("env: {A: 1}", "env.A"),
        (f"env: {{A: {'x' * 131_072}}}", "env: A is longer than"),
        (f"command: [x, {'x' * 131_072}]", "command: no word"),
        ("concurrency: 10000000", "concurrency"),
        ("concurrency: 0", "concurrency"),
        ("retries: 101", "retries"),
        ("timeout_seconds: 1e400", "timeout_seconds"),
    ],
)
def test_numbers_and_texts_that_cannot_be_used(tmp_path, entry, place):
    base = "image: y, input_schema: {}" + ("" if entry.startswith("command") else ", command: [x]")
    assert refused(tmp_path, f"task_types: {{x: {{{base}, {entry}}}}}").startswith(f"task_types.x.{place}")


def test_a_name_cannot_forge_a_line(tmp_path):
    faults = refused(tmp_path, 'task_types: {"a\\nb: fine\\e[31m\\u202e": {x: 1}}').split("\n")
    assert len(faults) == 4 and all(fault.startswith("task_types.a\\nb: fine\\x1b[31m\\u202e") for fault in faults)
    faults = refused(tmp_path, "task_types: {" + ", ".join(f"T{number}: {{}}" for number in range(500)) + "}")
    assert len(faults.split("\n")) == 51 and faults.endswith("more")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{$ref: 'http://127.0.0.1:9/x'}", "input_schema: at $ref: 'http://127.0.0.1:9/x' leaves the schema"),
        ("{properties: {a: {$ref: 'file:///etc/passwd'}}}", "input_schema: at properties.a.$ref: "),
        ("{properties: {a: {pattern: '(?=a)'}}}", "input_schema: at properties.a.pattern: "),
        ("{type: object, default: 5}", "input_schema: at default: the schema refuses it: 5 is not of type"),
    ],
)
def test_schemas_that_cannot_be_used(tmp_path, schema, words):
    assert refused(tmp_path, f"task_types: {{sleep: {{input_schema: {schema}}}}}").startswith(
        f"task_types.sleep.{words}"
    )


def test_a_type_is_checked_together_with_what_all_pods_have(tmp_path):
    volume, mount = {"name": "cache", "emptyDir": {}}, {"name": "cache", "mountPath": "/cache"}
    pods = PodFile(default={"volumes": [volume], "volume_mounts": [mount]})
    assert "cache is given twice" in refused(tmp_path, of_pod("volumes: [{name: cache, emptyDir: {}}]"), pods)
    missing = refused(tmp_path, of_pod("volumeMounts: [{name: none, mountPath: /x}]"), pods)
    assert missing.startswith("task_types.x.pod.volumeMounts.0.name: volume none does not exist")
    twice = "task_types: {sleep: {pod: {volumeMounts: [{name: cache, mountPath: /cache/}]}}}"
    assert "/cache is mounted twice" in refused(tmp_path, twice, pods)
    assert "x" in read(tmp_path, of_pod("volumeMounts: [{name: cache, mountPath: /x}]"), pods)


@pytest.mark.parametrize(
    "default",
    [
        {"volumes": [{"name": "taskpost", "emptyDir": {}}]},
        {"volumes": [{"name": "a", "secret": {"secretName": "taskpost-runner"}}]},
        {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
        {"volume_mounts": [{"name": "taskpost-directory", "mountPath": "/x"}]},
        {"volume_mounts": [{"name": "none", "mountPath": "/x"}]},
        {"volumes": [{"name": "a", "emptyDir": {}}], "volume_mounts": [{"name": "a", "mountPath": "/taskpost"}]},
        {"run_as_user": 0},
        {"container_run_as_user": 0},
        {"env": [{"name": "A", "value": 1}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "taskpost-redis", "key": "redis-url"}}}]},
    ],
)
def test_the_same_is_refused_for_all_pods(tmp_path, default):
    path = tmp_path / "pods.json"
    path.write_text(json.dumps({"default": default}))
    with pytest.raises(PodFileInvalid, match=r"pods\.json: "):
        read_pod_file(path, SECRETS)


def test_what_the_chart_gives_to_all_pods_is_taken(tmp_path):
    path = tmp_path / "pods.json"
    volume = {"name": "callback-certificate", "secret": {"secretName": "taskpost-redis"}}
    mount = {"name": "callback-certificate", "mountPath": "/etc/taskpost/callback-certificate", "readOnly": True}
    path.write_text(json.dumps({"default": {"volumes": [volume], "volume_mounts": [mount]}}))
    assert read_pod_file(path, SECRETS)


def test_what_passes_can_be_made_a_job_of(tmp_path):
    pod = (
        "env: [{name: SINCE, value: '2024-01-01'}, {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: E}], "
        "volumes: [{name: a, emptyDir: {}}, {name: b, secret: {secretName: other}}], runAsUser: 1000, "
        "volumeMounts: [{name: a, mountPath: /tmp/cache, subPath: x/y}, {name: b, mountPath: /run/secrets/mine}], "
        "resources: {limits: {memory: 2Gi, cpu: 1.5, nvidia.com/gpu: 1}, requests: {cpu: 500m, memory: 1e9}}, labels: {a: ''}"
    )
    definition = read(tmp_path, of_pod(pod), PodFile())["x"]
    spec = AttemptSpec(AttemptId("0" * 36, 1), "x", {"TASKPOST_TOKEN": "token"}, 60, definition)
    settings = JobSettings("i", "taskpost-runner", start_deadline_seconds=60, grace_seconds=10)
    job = build_job(spec, settings, PodFile().of_type(definition, "runner"))
    assert json.loads(json.dumps(job, allow_nan=False)) == job


def test_a_file_that_becomes_wrong_changes_nothing_and_says_so(tmp_path, monkeypatch, caplog):
    path = tmp_path / "types.yaml"
    path.write_text("task_types: {sleep: {concurrency: 1}}")
    catalog = Catalog(read_settings(task_types_file=path, data_dir=tmp_path))
    before = catalog()
    wrong = [
        of_pod("env: [{name: SINCE, value: 2024-01-01}]"),
        "task_types: {x: {command: [x], image: y, input_schema: {$ref: 'http://127.0.0.1:9/x'}}}",
        "task_types: {sleep: {input_schema: {pattern: '(?=a)'}}}",
        "[" * 5000,
        "a: &a [*a]",
    ]
    for number, text in enumerate(wrong):
        path.write_text(text)
        os.utime(path, (number, number))
        monkeypatch.setattr(catalog, "_looked_at", time.monotonic() - LOOK_SECONDS - 1)
        caplog.clear()
        assert catalog() is before
        assert [record.getMessage() for record in caplog.records] == ["files_not_reread"]
        assert set(Catalog(read_settings(task_types_file=path, data_dir=tmp_path))()) == set(BUILT_IN) - named(text)
    path.write_text("task_types: {sleep: {enabled: false}}")
    monkeypatch.setattr(catalog, "_looked_at", time.monotonic() - LOOK_SECONDS - 1)
    assert "sleep" not in catalog()


def test_a_check_names_the_file_that_it_was_given(tmp_path):
    path = tmp_path / "types.yaml"
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be read"):
        check_types(str(path))
    path.write_text("task_types: {x: 1}")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be used:\\n"):
        check_types(str(path))


def test_a_check_reads_no_settings_that_say_nothing_of_task_types(tmp_path, monkeypatch):
    path = tmp_path / "types.yaml"
    path.write_text("task_types: {sleep: {concurrency: 1}}")
    for name, value in {
        "bind": "x",
        "redis_url": "x",
        "concurency": "5",
        "type_concurrency": "a=b",
        "redis": "y",
    }.items():
        monkeypatch.setenv(f"TASKPOST_{name.upper()}", value)
    assert "sleep: " in check_types(str(path))
    with pytest.raises(SettingsError, match="TASKPOST_BIND") as refused_start:
        read_settings()
    assert "TASKPOST_REDIS is not a setting" in str(refused_start.value)
    for name, words in (("TASK_MODULE", "the nearest is TASKPOST_TASK_MODULES"), ("EXECUTOR", "Expected local or")):
        monkeypatch.setenv(f"TASKPOST_{name}", "x")
        with pytest.raises(ValueError, match="was not checked, because a setting is wrong") as refused_check:
            check_types(str(path))
        assert words in str(refused_check.value)
        assert "TASKPOST_BIND" not in str(refused_check.value)
        monkeypatch.delenv(f"TASKPOST_{name}")


@pytest.mark.parametrize("error", [TypeError("of no kind"), RecursionError(), KeyError("x"), OSError("gone")])
def test_no_fault_of_a_file_reaches_who_asks_for_the_types(tmp_path, monkeypatch, caplog, error):
    path = tmp_path / "types.yaml"
    path.write_text("task_types: {sleep: {concurrency: 1}}")
    catalog = Catalog(read_settings(task_types_file=path, data_dir=tmp_path))
    before = catalog()

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("api.catalog.read_type_file", broken)
    path.write_text("task_types: {}")
    monkeypatch.setattr(catalog, "_looked_at", time.monotonic() - LOOK_SECONDS - 1)
    assert catalog() is before
    assert [record.getMessage() for record in caplog.records] == ["files_not_reread"]


def test_a_schema_of_a_module_that_cannot_be_used_stops_the_start(tmp_path):
    (tmp_path / "lookahead_types.py").write_text(
        "from pydantic import Field\nfrom runner import task_type\nfrom runner.tasks.inputs import TaskInput\n"
        "class Input(TaskInput):\n    a: str = Field(json_schema_extra={'pattern': '(?=a)'})\n"
        "@task_type('lookahead', example={'a': 'a'})\ndef run(task_input: Input, progress): ...\n"
    )
    program = "from api.catalog import Catalog; from api.settings import SettingsError, read_settings; Catalog(read_settings())"
    environment = os.environ | {"TASKPOST_TASK_MODULES": "lookahead_types", "TASKPOST_TASK_PATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (
        "SettingsError: TASKPOST_TASK_MODULES: task type lookahead: input_schema: at properties.a.pattern"
        in ended.stderr
    )
