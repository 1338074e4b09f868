"""Variables that begin like settings: mistakes are named, and those of Kubernetes and of our own programs are none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.setting_names import MAX_UNKNOWN, nearest, unknown_variables
from api.settings import Settings
from runner.contract import Env, program_environment

ROOT = Path(__file__).parents[2]
SETTINGS = Settings.model_fields
PLACES_WITH_VARIABLES = (
    "Dockerfile.api", "Dockerfile.runner", "Makefile", "api", "client", "compose.yaml", "helm/templates", "manifests",
    "runner", "scripts", "tests/cluster", "tests/e2e", "tests/support",
)  # fmt: skip


def variables_of_a_service(name, ports):
    """What kubelet sets for a Service, as `envvars.FromServices` of Kubernetes does."""
    prefix = name.upper().replace("-", "_")
    address, (first, _, _) = "10.96.0.7", ports[0]
    made = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first)}
    for port, port_name, _ in ports:
        if port_name:
            made[f"{prefix}_SERVICE_PORT_{port_name.upper().replace('-', '_')}"] = str(port)
    for number, (port, _, protocol) in enumerate(ports):
        url = f"{protocol.lower()}://{address}:{port}"
        if number == 0:
            made[f"{prefix}_PORT"] = url
        one = f"{prefix}_PORT_{port}_{protocol}"
        made |= {one: url, f"{one}_PROTO": protocol.lower(), f"{one}_PORT": str(port), f"{one}_ADDR": address}
    return made


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("taskpost", [(80, "http", "TCP")]),
        ("taskpost", [(8000, "", "TCP")]),
        ("taskpost-valkey", [(6379, "redis", "TCP")]),
        ("taskpost-service", [(80, "http", "TCP")]),
        ("taskpost-2", [(80, "http", "TCP"), (9090, "http-metrics", "TCP"), (53, "dns", "UDP"), (7, "s", "SCTP")]),
        ("taskpost-bind", [(80, "http", "TCP")]),
        ("taskpost-dev-taskpost", [(443, "https-2", "TCP")]),
    ],
)
def test_what_kubernetes_sets_for_a_service_is_no_mistake(name, ports):
    made = variables_of_a_service(name, ports)
    assert len(made) >= 7
    assert unknown_variables(made, SETTINGS) == []


@pytest.mark.parametrize(
    ("variable", "right"),
    [
        ("TASKPOST_CONCURENCY", "TASKPOST_CONCURRENCY"), ("TASKPOST_REDIS", "TASKPOST_REDIS_URL"),
        ("TASKPOST_URL_REDIS", "TASKPOST_REDIS_URL"), ("TASKPOST_REDIS_URL_FILE", "TASKPOST_REDIS_URL"),
        ("TASKPOST_REDIS_HOST", "TASKPOST_REDIS_URL"), ("TASKPOST_SIGNING_KEY", "TASKPOST_SIGNING_KEYS"),
        ("TASKPOST_LOGLEVEL", "TASKPOST_LOG_LEVEL"), ("TASKPOST_DATADIR", "TASKPOST_DATA_DIR"),
        ("TASKPOST_DIRECTORY", "TASKPOST_DATA_DIR"), ("TASKPOST_HOST", "TASKPOST_BIND"),
        ("TASKPOST_BIND_PORT", "TASKPOST_BIND"), ("TASKPOST_WORKERS", "TASKPOST_CONCURRENCY"),
        ("TASKPOST_GRACE", "TASKPOST_GRACE_SECONDS"), ("TASKPOST_TYPES_FILE", "TASKPOST_TASK_TYPES_FILE"),
        ("TASKPOST_CALLBACK_CA", "TASKPOST_CALLBACK_CA_FILE"), ("TASKPOST_KUBE_CONFIG", "TASKPOST_KUBECONFIG"),
        ("taskpost_max_attempt", "TASKPOST_MAX_ATTEMPTS"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_the_nearest_right_name(variable, right):
    (told,) = unknown_variables({variable: "1", "PATH": "/bin", "TASKPOSTS_X": "1", "MY_TASKPOST_X": "1"}, SETTINGS)
    assert told.startswith(f"{variable} is not a setting of Taskpost; the nearest is {right}.")


def test_a_port_in_the_variable_of_kubernetes_is_a_mistake_with_its_remedy():
    (told,) = unknown_variables({"TASKPOST_PORT": "9000"}, SETTINGS)
    assert told.startswith("TASKPOST_PORT is '9000', and is not a setting: Kubernetes uses this name.")
    assert "TASKPOST_BIND" in told
    assert "--port" in told


def test_every_setting_is_its_own_nearest_and_known_in_any_case():
    for name in SETTINGS:
        assert nearest(name, SETTINGS) == name
        assert unknown_variables({f"TASKPOST_{name.upper()}": "x", f"taskpost_{name}": "x"}, SETTINGS) == []


def test_an_empty_variable_counts_as_not_set():
    assert unknown_variables({"TASKPOST_CONCURENCY": ""}, SETTINGS) == []


def test_in_an_attempt_the_variables_of_its_runner_are_no_mistakes():
    assert unknown_variables(dict.fromkeys(Env, "x"), SETTINGS) == []
    assert unknown_variables(program_environment("x", 1, "/taskpost"), SETTINGS) == []
    assert len(unknown_variables(dict.fromkeys(Env, "x") | {"TASKPOST_TOKENS": "x"}, SETTINGS)) == 1


def test_a_flood_of_mistakes_is_cut_and_a_hostile_name_does_not_steer_a_terminal():
    told = unknown_variables({f"TASKPOST_A{number}": "x" for number in range(1000)}, SETTINGS)
    assert len(told) == MAX_UNKNOWN + 1
    assert told[-1].startswith(f"{1000 - MAX_UNKNOWN} more")
    (told,) = unknown_variables({"TASKPOST_\x1b[31m\n" + "A" * 10_000: "x"}, SETTINGS)
    assert told.isprintable()
    assert len(told) < 500


def test_every_variable_in_this_repository_is_known():
    """A new one of the client or of the tests is added to `_OF_OTHERS`: it must not stop a service."""
    found = set()
    for place in PLACES_WITH_VARIABLES:
        path = ROOT / place
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and file.suffix != ".pyc":
                found |= set(re.findall(r"\bTASKPOST_[A-Z0-9_]*[A-Z0-9]\b", file.read_text("utf-8", errors="replace")))
    assert {"TASKPOST_URL", "TASKPOST_E2E", "TASKPOST_CLUSTER_BIN"} <= found
    assert unknown_variables(dict.fromkeys(found, "x") | {Env.TASK_ID: "x"}, SETTINGS) == []
