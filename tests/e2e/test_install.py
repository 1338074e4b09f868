"""The chart, as a platform team meets it: installed, tried, looked at for its rights and secrets, and taken away."""

from __future__ import annotations

import json
import re
import time
from os.path import relpath

import pytest

from tests.e2e.receiver import Receiver
from tests.e2e.release import ROOT, Release, run, until
from tests.support.pages import blocks_of

READY_SECONDS = 60


def test_it_is_ready_in_less_than_a_minute(make_namespace):
    release = Release(make_namespace("install"))
    began = time.monotonic()
    release.install()
    seconds = time.monotonic() - began
    print(f"\nhelm install --wait: {seconds:.1f} s")
    assert seconds < READY_SECONDS
    uninstalled_and_installed_again(release)


def uninstalled_and_installed_again(release):
    """With tasks that run and wait: nothing of ours is left, and the next release of the name begins with nothing."""
    running = release.submit("sleep", {"seconds": 120})
    for _ in range(3):
        release.submit("sleep", {"seconds": 120})
    release.running(running)
    release.uninstall()
    kinds = (
        "jobs,pods,secrets,configmaps,persistentvolumeclaims,services,deployments,statefulsets,roles,networkpolicies"
    )

    def left():
        return [name for name in release.kubectl("get", kinds, "-o", "name").split() if "kube-root-ca" not in name]

    until(lambda: not left(), 60, f"nothing to be left of {left()}")
    release.install()
    assert release.call("GET", "/api/tasks").json() == []
    release.ended(release.submit("sleep", {"seconds": 0}))
    release.uninstall()


PHASES = re.compile(r"^(accepted|started|ran|delivered|in all) +\d+\.\d{3} s  ", re.MULTILINE)


@pytest.mark.parametrize("options", [(), ("--logs",)])
def test_helm_test_receives_a_signed_callback_and_prints_the_seconds_of_each_phase(release, options):
    line = " ".join(["helm", "test", release.name, "--namespace", release.namespace, *options])
    told = run("sh", "-c", f"{line} 2>&1")  # Helm prints what a hook prints on stderr
    print(f"\n{told}")
    assert "Phase:          Succeeded" in told
    assert PHASES.findall(told)[:5] == ["accepted", "started", "ran", "delivered", "in all"]
    assert "its signature is valid" in told


def test_the_commands_of_the_notes_work_one_after_the_other(make_namespace):
    """They are run as they are printed, right after an install that did not wait."""
    release = Release(make_namespace("notes"), {"replicaCount": 1})
    release.install("--wait=false")
    notes = run("helm", "get", "notes", release.name, "--namespace", release.namespace)
    commands = [line.strip() for line in notes.splitlines() if line.startswith("  ")]
    assert [command.split()[0] for command in commands] == ["kubectl", "helm", "kubectl", "kubectl", "kubectl"]
    ready, test, submit, forward, key = commands
    assert "successfully rolled out" in run("sh", "-c", ready)
    assert "Phase:          Succeeded" in run("sh", "-c", test)
    assert json.loads(run("sh", "-c", f"{submit} 2>/dev/null"))["n"] == 1000
    assert "port-forward service/taskpost 8000:80" in forward
    assert run("sh", "-c", key).strip() == release.signing_key()
    release.uninstall()


def test_two_releases_whose_names_begin_alike_run_side_by_side(make_namespace):
    namespace = make_namespace("long")
    long = "a-release-of-which-the-name-is-as-long-as-one-may-be"
    first, second = (Release(namespace, {"replicaCount": 1}, name=name).install() for name in (long, f"{long}x"))
    assert len(second.name) == 53
    ids = [release.submit("sleep", {"seconds": 3}) for release in (first, second)]
    for release, task_id in zip((first, second), ids, strict=True):
        for one in (release.job_of(task_id), release.pod_of(task_id)):
            assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == release.name
        assert release.ended(task_id)["task_status"] == "done"
    assert first.call("GET", f"/api/tasks/{ids[1]}").status_code == 404
    assert "Phase:          Succeeded" in run("helm", "test", second.name, "--namespace", namespace)
    first.uninstall()
    assert second.ended(second.submit("sleep", {"seconds": 0}))["task_status"] == "done"
    second.uninstall()


def test_the_readme_s_session_works_through_a_port_forward(release):
    """Every `$ curl` of the README's first session, word for word but for the id of the task."""
    blocks = [block for block in blocks_of(ROOT / "README.md") if block.language == "console"]
    session = [command for block in blocks for command in block.commands() if command.line.startswith("curl ")]
    assert len(session) >= 4
    ids: dict[str, str] = {}
    release.forward.fix(8000)
    for command, printed in session:
        wanted = json.loads(" ".join(printed.splitlines()))
        of_ours = re.sub("|".join(ids) or "$", lambda old: ids.get(old[0], ""), command)
        found = json.loads(run("sh", "-c", of_ours))
        assert shape(found) == shape(wanted), command
        if "task" in wanted:
            ids[wanted["task"]["task_id"]] = found["task"]["task_id"]
            release.ended(found["task"]["task_id"])
    assert ids


def shape(value):
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_its_account_has_the_rights_it_needs_in_its_namespace_and_no_more(release):
    account = f"system:serviceaccount:{release.namespace}:{release.prefix}"
    told = release.kubectl("auth", "can-i", "--list", "--as", account)
    ours = [line for line in told.splitlines() if re.match(r"(jobs|pods|events|configmaps|secrets|\*)", line)]
    assert sorted(line.split()[0] for line in ours) == ["configmaps", "events", "jobs.batch", "pods", "pods/log"]
    assert not re.search(r"\[\*\]|secrets", told)
    for namespace in ("default", "kube-system"):
        assert "no" in may(namespace, account, "list", "jobs")


def may(namespace, account, verb, what):
    return run("sh", "-c", f"kubectl --namespace {namespace} auth can-i {verb} {what} --as {account} || true")


def test_two_releases_in_one_namespace_do_not_see_each_other(release):
    other = Release(release.namespace, {"replicaCount": 1}, name="second").install()
    mine, theirs = release.submit("sleep", {"seconds": 5}), other.submit("sleep", {"seconds": 5})
    release.running(mine)
    other.running(theirs)
    assert [job["metadata"]["name"] for job in release.jobs()] == [f"tp-{mine}-1"]
    assert [job["metadata"]["name"] for job in other.jobs()] == [f"tp-{theirs}-1"]
    assert release.call("GET", f"/api/tasks/{theirs}").status_code == 404
    assert other.ended(theirs)["task_status"] == "done"
    other.uninstall()
    assert release.ended(mine)["task_status"] == "done"


def test_under_any_user_and_with_a_proxy_for_the_world_tasks_run_and_secrets_stay_secret(make_namespace):
    any_user = {"runAsUser": 1000930000, "runAsGroup": 0, "fsGroup": 1000930000}
    proxy = [{"name": name, "value": "http://blackhole.invalid:3128"} for name in ("HTTPS_PROXY", "HTTP_PROXY")]
    values = {
        "podSecurityContext": any_user,
        "valkey": {"podSecurityContext": any_user},
        "taskPods": {"runAsUser": 1000930000, "env": proxy},
        "extraEnv": proxy,
    }
    release = Release(make_namespace("any-user"), values).install()
    receiver = Receiver()
    receiver.keys.append(release.signing_key())
    delivered = release.submit("sleep", {"seconds": 0}, receiver.url)
    assert receiver.of(delivered)["status"] == "done"
    receiver.close()
    until(lambda: not release.job_and_pods_of(delivered), 60, "its pod to be gone: all others are looked into")
    task_id = release.submit("sleep", {"seconds": 3}, "http://user:hushhush@receiver.invalid/")
    release.running(task_id)
    shown = release.kubectl("get", "pods,jobs,configmaps,deployments,statefulsets,events", "-o", "yaml")
    logs = "".join(
        release.kubectl("logs", name, "--all-containers")
        for name in release.kubectl("get", "pods", "-o", "name").split()
    )
    answers = release.call("GET", f"/api/tasks/{task_id}").text + release.call("GET", "/api/tasks").text
    secrets = [
        value
        for name in ("redis", "runner")
        for key in release.get("secret", f"{release.prefix}-{name}")["data"]
        for value in release.secret(f"{release.prefix}-{name}", key).split()
    ]
    assert any(value.startswith("whsec_") for value in secrets)
    for secret in [value for value in secrets if len(value) > 20] + ["hushhush"]:
        assert secret not in shown
        assert secret not in logs
        assert secret not in answers
    assert release.ended(task_id)["task_status"] == "done"
    release.uninstall()


OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [{default}]
images:
  - {{name: taskpost-api, newName: localhost/taskpost-api}}
  - {{name: valkey/valkey, newName: localhost/taskpost-valkey, newTag: latest}}
patches:
  - patch: |
      $patch: delete
      apiVersion: v1
      kind: Namespace
      metadata: {{name: taskpost}}
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: taskpost}}
      spec:
        template:
          spec:
            containers:
              - name: service
                env: [{{name: TASKPOST_RUNNER_IMAGE, value: "localhost/taskpost-runner:latest"}}]
"""


def test_without_helm_the_manifests_give_a_service_that_works(make_namespace, tmp_path):
    release = Release(make_namespace("manifests"))
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    default = relpath(ROOT / "manifests/overlays/default", overlay)
    (overlay / "kustomization.yaml").write_text(OVERLAY.format(namespace=release.namespace, default=default))
    release.kubectl("create", "-f", "-", given=run("sh", str(ROOT / "manifests/secrets.sh")))
    release.kubectl("apply", "-k", str(overlay))
    release.kubectl("rollout", "status", "statefulset/taskpost-valkey", "--timeout=60s")
    release.kubectl("rollout", "status", "deployment/taskpost", "--timeout=60s")
    assert release.ended(release.submit("fibonacci", {"n": 90}))["task_status"] == "done"
    release.forward.close()
    release.kubectl("delete", "-k", str(overlay), "--wait=false")


@pytest.mark.parametrize("wrong", [{"replicaCout": 2}, {"valkey": {"persistence": {"sise": "1Gi"}}}])
def test_a_value_that_is_misspelt_is_refused_before_anything_is_made(make_namespace, wrong):
    release = Release(make_namespace("misspelt"), wrong)
    with pytest.raises(AssertionError, match="additional properties"):
        release.install()
    assert release.kubectl("get", "deployments,statefulsets", "-o", "name") == ""
