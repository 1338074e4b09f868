"""What the file of task types refuses: everything at once, each with its place and the nearest right name."""

# ruff: noqa: E501 - the rows of tables are lines

from __future__ import annotations

import copy
import json
import random
import re
import sys
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from api.executors.kubernetes.pods import PodFile
from api.type_file import MAX_FAULTS, check_type_file, fault_lines
from api.type_rules import is_image
from runner.contract import ErrorCode
from runner.tasks.registry import load_all

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = load_all()
PROGRAM = "command: [x], image: y, input_schema: {}"
FUNCTION = "python: 'a:b', input_schema: {}"


def check(tmp_path: Path, text: str):
    path = tmp_path / "types.yaml"
    path.write_text(text)
    return check_type_file(path, KNOWN, {})


def of_type(members: str, of: str = FUNCTION) -> str:
    return f"task_types: {{x: {{{of}, {members}}}}}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("task_typs: {}", "task_typs: unknown member; did you mean task_types?"),
        ("task_types: {}\nversion: 1", "version: unknown member; allowed: task_types"),
        ("{}", "task_types: it is missing: write `task_types: {}`"),
        ("", "the file: it is empty: write `task_types: {}`"),
        ("# nothing but a comment\n", "the file: it is empty"),
        ("task_types:", "task_types: expected a map of task types"),
        ("task_types: [a]", "task_types: expected a map of task types"),
        ("just text", "the file: expected a map with the member `task_types`"),
        ("task_types: {x: 5}", "task_types.x: a task type is a map of members"),
        ("task_types: {x: }", "task_types.x: a task type is a map of members"),
        ("task_types: {sleep: {concurrency: 1}, sleep: {concurrency: 2}}", "task_types.sleep: the name is given twice, in lines 1 and 1"),
        (of_type("retries: -1"), "task_types.x.retries: expected a number of at least 0, not -1"),
        ("task_types: {x: {command: [], image: y, input_schema: {}}}", "task_types.x.command: expected a list that is not empty"),
        ("task_types: {sleep: {retries: 1, retries: 2}}", "task_types.sleep.retries: the name is given twice"),
        ("task_types: {sleep: {example: {1: a, on: b}}}", "task_types.sleep.example: the name '1' is not text"),
        ("task_types: {Word Count: {}}", "task_types.Word Count: 'Word Count' is not a valid name for a task type: use 1 to 63 characters of a-z, 0-9, '_', '.', '-', with a letter or digit first and last; did you mean word-count?"),
        (of_type("concurency: 1"), "task_types.x.concurency: unknown member; did you mean concurrency?"),
        (of_type("timeout: 1"), "task_types.x.timeout: unknown member; did you mean timeout_seconds?"),
        (of_type("retry_on: [crashd]"), "task_types.x.retry_on.0: 'crashd' is not an error code of Taskpost, but nearly one; did you mean crashed?"),
        (of_type("retry_on: [time_out]"), "task_types.x.retry_on.0: 'time_out' is not an error code"),
        (of_type("retry_on: [canceled]"), "task_types.x.retry_on.0: 'canceled' is not an error code of Taskpost, but nearly one; cancelled is never tried again"),
        (of_type("retry_on: [input_invalid]"), "task_types.x.retry_on.0: 'input_invalid' is never tried again; allowed: cannot_start, crashed"),
        (of_type("retry_on: [Crashed]"), "task_types.x.retry_on.0: 'Crashed' is not an error code; did you mean crashed?"),
        (of_type("retry_on: [no_mark]", PROGRAM), "task_types.x.retry_on.0: 'no_mark' is not an error code, and a program has none of its own; allowed: "),
        (of_type("resources: {}"), "task_types.x.resources: unknown member; write it under `pod`"),
        (of_type("pod: {retry_on: [], image: y}"), "task_types.x.pod.image: unknown member; it belongs to the type, not to its `pod`"),
        (of_type("pod: []"), "task_types.x.pod: expected an object, not []"),
        (of_type("retries: 1.0, concurrency: true"), "task_types.x.concurrency: expected a whole number, not True"),
        (of_type("command: []", "image: y, input_schema: {}"), "task_types.x.command: expected a list that is not empty, not []"),
        ("task_types: {fibonaci: {enabled: false}}", "task_types.fibonaci: a new task type needs `python` or `command`, and this one has neither; did you mean fibonacci?"),
        ("task_types: {sleepp: {concurrency: 1}}", "task_types.sleepp: a new task type needs `python` or `command`, and this one has neither; did you mean sleep?"),
        (of_type("image: 'bad image!'"), "task_types.x.image: 'bad image!' is not the name of an image: did you mean bad-image?"),
        (of_type("image: Acme_Tasks:1.0"), "task_types.x.image: 'Acme_Tasks:1.0' is not the name of an image: did you mean acme_tasks:1.0?"),
        (of_type("image: 'acme:1.0:2'"), "task_types.x.image: 'acme:1.0:2' is not the name of an image: expected [host/]name[:tag][@digest]"),
        (of_type("image: ''"), "task_types.x.image: "),
        (of_type("env: {A: 1}"), "task_types.x.env.A: expected text, not 1: write it in quotes"),
        ("task_types: {x: {python: acme.tasks.count, input_schema: {}}}", "task_types.x.python: expected module:function; did you mean acme.tasks:count?"),
        ("task_types: {x: {command: convert a 'b c', image: y, input_schema: {}}}", "task_types.x.command: expected a list; did you mean [convert, a, b c]?"),
        ("task_types: {x: {python: 'a:b', input_schema: {type: array}}}", "task_types.x.input_schema: at type: array accepts no object"),
        ("task_types: {x: {python: 'a:b', input_schema: {requried: [a]}}}", "task_types.x.input_schema: at requried: unknown keyword; did you mean required?"),
        ("task_types: {sleep: {example: {second: 1}}}", "task_types.sleep.example.second: its input_schema refuses this: Unknown member; did you mean seconds?"),
        ("task_types: {x: {python: 'a:b', input_schema: {default: {a: x}, properties: {a: {type: integer}}}}}", "task_types.x.input_schema: at default.a: the schema refuses it"),
        ("task_types: {sleep: {example: {seconds: many}}}", "task_types.sleep.example.seconds: its input_schema refuses this"),
        ("task_types: {x: {python: 'a:b', example: {}, input_schema: {required: [a]}}}", "task_types.x.example.a: its input_schema refuses this: The member is required"),
        (of_type("pod: {nodeSelektor: {}}"), "task_types.x.pod.nodeSelektor: unknown member; did you mean nodeSelector?"),
        (of_type("pod: {resources: {cpu: foo}}"), "task_types.x.pod.resources.cpu: unknown member; write it under `requests` or `limits`"),
        (of_type("pod: {resources: {request: {cpu: 1}}}"), "task_types.x.pod.resources.request: unknown member; did you mean requests?"),
        (of_type("pod: {resources: {requests: {cpu: foo}}}"), "task_types.x.pod.resources.requests.cpu: 'foo' is not a quantity, such as 500m or 2Gi"),
        (of_type("pod: {resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}"), "task_types.x.pod.resources.requests.memory: 2Gi is more than the limit, which is 1Gi"),
        (of_type("pod: {resources: {limits: {memory: -1Gi}}}"), "task_types.x.pod.resources.limits.memory: '-1Gi' is not a quantity"),
        (of_type("pod: {resources: {limits: {memory: 512MB}}}"), "task_types.x.pod.resources.limits.memory: '512MB' is not a quantity: did you mean 512M?"),
        (of_type("pod: {resources: {limits: {memroy: 1Gi}}}"), "task_types.x.pod.resources.limits.memroy: unknown resource; did you mean memory?"),
        (of_type("pod: {tolerations: [{kye: a}]}"), "task_types.x.pod.tolerations.0.kye: unknown member; did you mean key?"),
        (of_type("pod: {tolerations: [{operator: Exist}]}"), "task_types.x.pod.tolerations.0.operator: 'Exist' is not allowed here; did you mean Exists?"),
        (of_type("pod: {tolerations: [{tolerationSeconds: '60'}]}"), "task_types.x.pod.tolerations.0.tolerationSeconds: expected an integer, not '60'"),
        (of_type("pod: {affinity: {nodeAfinity: {}}}"), "task_types.x.pod.affinity.nodeAfinity: unknown member; did you mean nodeAffinity?"),
        (of_type("pod: {volumes: [{name: a, emptyDri: {}}]}"), "task_types.x.pod.volumes.0.emptyDri: unknown member; did you mean emptyDir?"),
        (of_type("pod: {volumes: [{name: a, emptyDir: {sizeLimit: lots}}]}"), "task_types.x.pod.volumes.0.emptyDir.sizeLimit: 'lots' is not a quantity"),
        (of_type("pod: {volumes: [{name: a, hostPath: {}}]}"), "task_types.x.pod.volumes.0.hostPath.path: this member is required"),
        (of_type("pod: {volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]}"), "task_types.x.pod.volumes: a is given twice"),
        (of_type("pod: {env: [{name: A, valueFrom: {secretKeyRef: {nmae: s, key: k}}}]}"), "task_types.x.pod.env.0.valueFrom.secretKeyRef.nmae: unknown member; did you mean name?"),
        (of_type("pod: {imagePullPolicy: always}"), "task_types.x.pod.imagePullPolicy: 'always' is not one: did you mean Always?"),
        (of_type("pod: {imagePullSecrets: [{name: a}]}"), "task_types.x.pod.imagePullSecrets.0: "),
        (of_type("pod: {priorityClassName: High Priority}"), "task_types.x.pod.priorityClassName: 'High Priority' is not the name of an object"),
        (of_type("pod: {annotations: {a b: c}}"), "task_types.x.pod.annotations.a b: 'a b' is not the name of an annotation"),
        (of_type("egress: [{too: []}]", PROGRAM), "task_types.x.egress.0.too: unknown member; did you mean to?"),
        (of_type("egress: [{ports: [{port: 443, protocol: tcp}]}]", PROGRAM), "task_types.x.egress.0.ports.0.protocol: 'tcp' is not allowed here; did you mean TCP?"),
    ],
)  # fmt: skip
def test_it_is_refused_with_its_place_and_the_nearest_right_name(tmp_path, text, fault):
    lines = fault_lines(check(tmp_path, text))
    assert any(line.startswith(fault) for line in lines), lines


@pytest.mark.parametrize(
    "members",
    [
        "retry_on: [crashed, out_of_memory, no_mark, bad_weather]",
        f"retry_on: [{', '.join(sorted(set(map(str, ErrorCode)) - {'cancelled', 'input_invalid', 'type_removed'}))}]",
        "image: 'registry.example.com:5000/team/acme-tasks_x.y:1.0-rc.1_b'",
        f"image: 'localhost/a@sha256:{'0' * 64}', description: 'ä: ok', example: {{a: [1, null]}}",
        "image: busybox, env: {A: '1', b.c: ''}, concurrency: 1, retries: 100, timeout_seconds: 1, max_timeout_seconds: 1",
        "pod: {tolerations: [{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 60}], nodeSelector: {a: b}}",
        "pod: {volumes: [{name: a, secret: {secretName: b, defaultMode: 0444, items: [{key: k, path: p}]}}], volumeMounts: [{name: a, mountPath: /a, readOnly: true}]}",
        "pod: {volumes: [{name: a, persistentVolumeClaim: {claimName: b}}, {name: c, emptyDir: {medium: Memory, sizeLimit: 1Gi}}]}",
        "pod: {affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: a, labelSelector: {matchLabels: {a: b}}}}]}}}",
        "pod: {env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}, {name: B, value: b}]}",
        "pod: {resources: {requests: {cpu: 1, memory: 1.5Gi, hugepages-2Mi: 4Mi}, limits: {nvidia.com/gpu: '1', cpu: 1500m, ephemeral-storage: 1e9}, claims: [{name: a}]}}",
        "pod: {imagePullPolicy: IfNotPresent, imagePullSecrets: [a.b], runtimeClassName: gvisor, serviceAccountName: s, queueName: user-queue, annotations: {a.b/c: ''}}",
    ],
)  # fmt: skip
def test_what_is_right_is_taken(tmp_path, members):
    found = check(tmp_path, of_type(members))
    assert fault_lines(found) == []
    assert "x" in found.definitions
    json.dumps({name: dict(one.example) for name, one in found.definitions.items()})


def test_what_a_program_may_connect_to_is_taken(tmp_path):
    rule = "{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, {namespaceSelector: {}}], ports: [{port: 443}, {port: dns, protocol: UDP}]}"
    assert fault_lines(check(tmp_path, of_type(f"egress: [{rule}]", PROGRAM))) == []


@pytest.mark.parametrize(
    ("members", "places"),
    [
        ("retry_on: [5, crashd, null, Crashed]", ["retry_on.0", "retry_on.1", "retry_on.2", "retry_on.3"]),
        ("pod: {env: [5, {name: A, value: x}, {name: A=B}]}", ["pod.env.0", "pod.env.2.name"]),
        ("pod: {tolerations: [x, {operator: exist}], imagePullSecrets: [1, 'A B']}",
         ["pod.tolerations.0", "pod.tolerations.1.operator", "pod.imagePullSecrets.0", "pod.imagePullSecrets.1"]),
        ("pod: {volumes: [5, {name: V}], volumeMounts: [{name: w, mountPath: x}]}",
         ["pod.volumes.0", "pod.volumes.1.name", "pod.volumeMounts.0.mountPath"]),
        ("retry_on: [2024-01-01, crashd]", ["retry_on.0", "retry_on.1"]),
    ],
)  # fmt: skip
def test_a_wrong_item_of_a_list_hides_no_other_and_is_told_once(tmp_path, members, places):
    lines = fault_lines(check(tmp_path, of_type(members)))
    told = [line.partition(": ")[0].removeprefix("task_types.x.") for line in lines]
    assert set(places) <= set(told), lines
    assert sum(place.startswith(places[0]) for place in told) == 1, lines


def test_the_words_of_pydantic_are_told_to_no_one(tmp_path):
    values = ("5", "true", "null", "x", "[]", "[1]", "{}", "{a: 1}", "-1", "1.5", "1e300", "''")
    members = [
        "enabled",
        "description",
        "python",
        "image",
        "command",
        "input_schema",
        "example",
        "concurrency",
        "retries",
    ]
    members += ["retry_on", "retry_pause_seconds", "timeout_seconds", "max_timeout_seconds", "env", "pod", "egress"]
    for member in members:
        for value in values:
            for line in fault_lines(check(tmp_path, f"task_types: {{x: {{{member}: {value}}}}}")):
                assert not re.search(r"Input should|should have|should be|TypePod|dictionary|another value", line), line


@pytest.mark.parametrize(
    "text",
    [
        f"task_types: {{sleep: {{{', '.join(f'concurency{number}: 1' for number in range(9_000))}}}}}",
        of_type(f"input_schema: {{{', '.join(f'minLengt{number}: 1' for number in range(9_000))}}}", "python: 'a:b'"),
    ],
)
def test_many_mistakes_take_no_longer_than_many_values(tmp_path, text):
    right = f"task_types: {{sleep: {{example: {{seconds: 1}}, env: {{{', '.join(f'A{one}: x' for one in range(9_000))}}}}}}}"
    begin = time.process_time()
    assert fault_lines(check(tmp_path, right)) == []
    floor = time.process_time() - begin
    begin = time.process_time()
    assert check(tmp_path, text).faults
    assert time.process_time() - begin < 2 * floor + 1


def test_everything_that_is_wrong_is_named_in_one_round_in_the_order_of_the_file(tmp_path):
    found = check(
        tmp_path,
        """\
task_types:
  x:
    command: convert a b
    image: "bad image!"
    input_schema: {type: array}
    retry_on: [crashd]
    env: {A: 1, B=C: x, TASKPOST_TOKEN: y}
    pod:
      env: [{name: SINCE, value: 2024-01-01}]
      resources: {requests: {cpu: foo}}
      nodeSelektor: {}
  sleep: {example: {second: 1}, concurency: 3}
  sleep: {concurrency: 1}
  fibonacci: {concurrency: 1}
  y: {python: 'a:b', input_schema: {}}
""",
    )
    assert [line.partition(": ")[0] for line in fault_lines(found)] == [
        *("task_types.x.command", "task_types.x.image", "task_types.x.input_schema", "task_types.x.retry_on.0"),
        *("task_types.x.env.A", "task_types.x.env", "task_types.x.env", "task_types.x.pod.env.0.value"),
        *("task_types.x.pod.resources.requests.cpu", "task_types.x.pod.nodeSelektor", "task_types.sleep"),
        *("task_types.sleep.concurency", "task_types.sleep.example.second", "task_types.sleep.example.seconds"),
    ]
    assert (found.faulty, found.right, found.complete) == ({"x", "sleep"}, {"fibonacci", "y"}, True)
    assert set(found.definitions) == {"fibonacci", "prime_numbers", "y"}


def test_what_follows_from_a_fault_is_not_told(tmp_path):
    text = "task_types: {x: {python: 'a:b', input_schema: 2024-01-01, example: {a: .nan}, concurrency: .inf, pod: {runAsUser: .inf}}}"
    assert [line.partition(": ")[0] for line in fault_lines(check(tmp_path, text))] == [
        *(
            "task_types.x.input_schema",
            "task_types.x.example.a",
            "task_types.x.concurrency",
            "task_types.x.pod.runAsUser",
        )
    ]


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("task_types: {sleep: {retries: x}}", True),
        ("task_types: {1: {}}", False),
        ("task_types: {}\nmore: 1", False),
        ("task_types", False),
        ("", False),
    ],
)
def test_whether_all_names_are_known(tmp_path, text, complete):
    assert check(tmp_path, text).complete is complete


@pytest.mark.parametrize(
    "name", ["a", "a/b", "a.b:5000/c", "localhost/a", "[::1]:5000/a", "A/b", "a:T.1_", "a__b", "a---b"]
)
def test_images(name):
    assert is_image(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a b",
        "a:",
        ":a",
        "a@sha256:12",
        "a//b",
        "/a",
        "a/",
        "a_",
        "a___b",
        "ä",
        "a:-x",
        f"a:{'x' * 129}",
        "a" * 2000,
    ],
)
def test_names_that_no_runtime_takes_for_images(name):
    assert not is_image(name)


def many(member: str) -> str:
    return "task_types:\n" + "".join(f"  t{number}: {{{FUNCTION}, {member}}}\n" for number in range(1500))


@pytest.mark.parametrize(
    "text",
    [
        many("concurency: 1"),
        many("retry_on: [crashd]"),
        many("pod: {tolerations: [{kye: a}]}"),
        of_type("retry_on: [" + ", ".join(f"crashe{number}" for number in range(19_000)) + "]"),
        of_type("env: {" + ", ".join(f"A{number}: 1" for number in range(9_000)) + "}"),
        "task_types: {" + ", ".join(f"a{number}: 1" for number in range(9_000)) + "}",
        of_type("image: '" + "a_" * 400_000 + "!'"),
        of_type("pod: {volumes: [" + ", ".join("{name: a, emptyDir: {}}" for _ in range(4_000)) + "]}"),
    ],
    ids=["members", "codes of types", "tolerations", "codes", "variables", "types", "image", "volumes"],
)
def test_a_file_with_very_many_faults_is_read_in_seconds(tmp_path, text):
    tracer = sys.gettrace()  # coverage's: it multiplies the time
    sys.settrace(None)
    begin = time.process_time()
    try:
        lines = fault_lines(check(tmp_path, text))
    finally:
        sys.settrace(tracer)
    assert time.process_time() - begin < 5
    assert lines and len(lines) <= MAX_FAULTS + 1 and max(map(len, lines)) < 1000


WHOLE = """
task_types:
  x:
    python: a:b
    image: y
    input_schema: {type: object, required: [a], properties: {a: {type: integer, items: {}}}, $defs: {b: {$ref: "#/$defs/b"}}, anyOf: [{}]}
    example: {a: 1}
    retries: 1
    retry_on: [crashed]
    env: {A: b}
    pod:
      resources: {requests: {cpu: 1}, limits: {cpu: 2}, claims: [{name: a}]}
      tolerations: [{key: a, operator: Exists}]
      affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a, labelSelector: {matchLabels: {a: b}}}]}}
      env: [{name: A, value: b}, {name: B, valueFrom: {secretKeyRef: {name: a, key: b}}}]
      volumes: [{name: a, emptyDir: {}}, {name: b, secret: {secretName: c}}]
      volumeMounts: [{name: a, mountPath: /a, subPath: b}]
      annotations: {a: b}
      labels: {a: b}
      nodeSelector: {a: b}
      imagePullSecrets: [a]
      queueName: q
    egress: [{to: [{ipBlock: {cidr: 1.2.3.4/32}}], ports: [{port: 1}]}]
  sleep: {example: {seconds: 1}, pod: {resources: {requests: {memory: 1Gi}}}}
"""
ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "\0",
    "a" * 300,
    [],
    [1],
    [None],
    [[]],
    [{}],
    {},
    {"a": 1},
    {"x": None},
    {"$ref": "#"},
    {"name": 5},
    10**30,
]
VOLUME, MOUNT = {"name": "cache", "emptyDir": {}}, {"name": "cache", "mountPath": "/cache"}
OF_ALL = PodFile(default={"volumes": [VOLUME], "volume_mounts": [MOUNT], "resources": {"limits": {"memory": "1Gi"}}})


def steps_of(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        yield from steps_of(one, (*path, step))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_stands_in_the_place_of_a_part_it_is_checked(tmp_path, seed):
    chance = random.Random(seed)
    whole = yaml.safe_load(WHOLE)
    places = [steps for steps in steps_of(whole) if steps]
    for _ in range(60):
        changed = copy.deepcopy(whole)
        *outer, last = chance.choice(places)
        part = changed
        for step in outer:
            part = part[step]
        part[last] = chance.choice(ODD)
        path = tmp_path / "types.yaml"
        path.write_text(yaml.safe_dump(changed))
        lines = fault_lines(check_type_file(path, KNOWN, {}, secrets=("a",), pods=chance.choice([OF_ALL, None])))
        assert not any("cannot be checked" in line for line in lines), (lines, changed)
