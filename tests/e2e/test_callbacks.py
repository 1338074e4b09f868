"""Receivers in pods: a third refuses, a third hangs, a third works under a private CA, while everything dies."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook

from tests.e2e.own_types import mount_types
from tests.e2e.release import run, until

TASKS = 60
MISBEHAVING = Path(__file__).parents[1] / "support" / "misbehaving.py"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "receivers"},
    "spec": {
        "selector": {"app": "receivers"},
        "ports": [
            {"name": "plain", "port": 80, "targetPort": 8080},
            {"name": "secure", "port": 443, "targetPort": 8443},
            {"name": "refusing", "port": 81, "targetPort": 8081},
        ],
    },
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "receivers", "labels": {"app": "receivers"}},
    "spec": {
        "containers": [
            {
                "name": "receivers",
                "image": "localhost/taskpost-runner:latest",
                "imagePullPolicy": "Never",
                "command": ["python", "/opt/receivers/receivers.py"],
                "securityContext": RESTRICTED,
                "volumeMounts": [
                    {"name": "program", "mountPath": "/opt/receivers"},
                    {"name": "certificate", "mountPath": "/etc/receivers"},
                ],
            }
        ],
        "volumes": [
            {"name": "program", "configMap": {"name": "receivers"}},
            {"name": "certificate", "secret": {"secretName": "receivers"}},
        ],
    },
}


@pytest.fixture(scope="module")
def values(namespace, tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))
    certificate = authority.issue_cert(f"receivers.{namespace}.svc")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "certificate.pem"))
    create = ("kubectl", "--namespace", namespace, "create")
    run(*create, "secret", "generic", "our-ca", f"--from-file={directory / 'ca.crt'}")
    run(*create, "secret", "generic", "receivers", f"--from-file={directory / 'certificate.pem'}")
    program = Path(__file__).with_name("receivers.py")
    run(*create, "configmap", "receivers", f"--from-file={program}", f"--from-file={MISBEHAVING}")
    run(*create, "-f", "-", given=json.dumps(SERVICE))
    run(*create, "-f", "-", given=json.dumps(POD))
    return {
        "callbacks": {"caSecret": "our-ca"},
        "settings": {
            "concurrency": 8,
            "grace_seconds": 3,
            "callback_keep_answers": "all",
            "callback_retry_seconds": [1, 2, 4, 8],
            "task_modules": ["e2e_types"],
        },
        **mount_types(namespace, resources={"requests": {"cpu": "10m", "memory": "64Mi"}}),
    }


@pytest.fixture(scope="module")
def urls(release):
    release.kubectl("wait", "pod/receivers", "--for=condition=Ready", "--timeout=60s")
    host = f"receivers.{release.namespace}.svc"
    return {
        "refuse": f"http://{host}:81/results",
        "hang": f"http://{host}/hang",
        "work": f"https://{host}/status/204",
        "once": f"https://{host}/then/hang/204",
    }


def received(release):
    """The requests that came, by delivery id: every one is signed, and all of an id have one body."""
    bodies = {}
    key = Webhook(release.signing_key())
    for line in release.kubectl("logs", "receivers").splitlines():
        one = json.loads(line)
        body = base64.b64decode(one["body"])
        key.verify(body, one["headers"])
        assert bodies.setdefault(one["headers"]["webhook-id"], body) == body
    return bodies


def is_delivered(release, task_id):
    answer = release.call("GET", f"/api/tasks/{task_id}")  # 503 while Valkey is away
    return answer.status_code == 200 and answer.json()["delivery"]["status"] == "delivered"


def until_delivered(release, task_ids, seconds=120):
    left = set(task_ids)

    def look():
        left.difference_update({task_id for task_id in left if is_delivered(release, task_id)})
        return not left

    until(look, seconds, lambda: json.dumps([release.task(task_id) for task_id in list(left)[:3]]))


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_runner_that_dies_around_its_own_try_leaves_it_to_the_service(release, urls, moment):
    task_id = release.submit("dies_in_its_try", {"moment": moment}, urls["once" if moment == "during" else "work"])
    assert release.ended(task_id)["task_status"] == "done"
    until_delivered(release, [task_id])
    tries = release.call("GET", f"/api/tasks/{task_id}/deliveries").json()["tries"]
    assert [made["by"] for made in tries] == ["service"]
    assert f"msg_{task_id}" in received(release)


def test_every_receiver_that_works_has_its_outcomes_whatever_dies(release, urls):
    kinds = ("refuse", "hang", "work")
    of_kind = {kind: [] for kind in kinds}
    for number in range(TASKS):
        kind = kinds[number % len(kinds)]
        of_kind[kind].append(release.submit("sleep", {"seconds": 0}, urls[kind]))
    until(lambda: len(received(release)) >= 10, 60, "some callbacks")
    now = ("--grace-period=0", "--force", "--wait=false")
    release.kubectl("delete", "pod", f"{release.prefix}-valkey-0", *now, warns=True)
    release.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=service", *now, warns=True)
    until_delivered(release, of_kind["work"])
    for kind, reason in (("refuse", "the connection was refused"), ("hang", "no answer within")):
        for task_id in of_kind[kind]:
            release.ended(task_id, 120)
            seen = release.when(task_id, lambda task: task["delivery"]["last_error"], 120)
            assert seen["delivery"]["status"] in {"pending", "sending", "dead"}
            assert reason in seen["delivery"]["last_error"]
    ports = [port | {"targetPort": 8080} if port["name"] == "refusing" else port for port in SERVICE["spec"]["ports"]]
    release.kubectl("patch", "service", "receivers", "--patch", json.dumps({"spec": {"ports": ports}}))
    mend = "import os, signal; os.kill(1, signal.SIGUSR1)"
    release.kubectl("exec", "receivers", "--", "python", "-c", mend)
    every = [task_id for task_ids in of_kind.values() for task_id in task_ids]

    def redelivered():
        release.call("POST", "/api/deliveries/redeliver", json={})
        return all(is_delivered(release, task_id) for task_id in every)

    until(redelivered, 120, "all to be delivered", poll_seconds=2)
    assert received(release).keys() >= {f"msg_{task_id}" for task_id in every}
