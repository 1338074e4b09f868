"""docs/kubernetes.md, word for word: images built, pushed or loaded into kind, installed, tried; and what an uninstall leaves.

There is neither Docker nor a registry where these run: `tests/cluster/shims` has a `docker` and a `kind` that know the page's commands, and no others.
"""  # noqa: E501 - prose

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.release import ROOT, Release, run, until
from tests.support.pages import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.serial
SHIMS = ROOT / "tests" / "cluster" / "shims"
VALKEY = "docker.io/valkey/valkey:8.1"
PHASE = re.compile(r"^(accepted|started|ran|delivered|in all) +\d+\.\d{3} s  (.*)$", re.MULTILINE)
PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
COMMANDS = [command.line for command in commands("kubernetes", "## Install")]
BY_REGISTRY, BY_KIND = COMMANDS[:5], COMMANDS[5:9]  # then those of "Try it"
TRY = [command.line for command in commands("kubernetes", "### Try it")]
(LEFT,) = (command.line for command in commands("kubernetes", "## Uninstall"))
UNINSTALL = "helm uninstall taskpost --namespace taskpost"
RETAIN = "helm upgrade taskpost helm --namespace taskpost --wait --set valkey.persistence.whenDeleted=Retain"


@pytest.fixture(scope="module", autouse=True)
def page_s_namespace() -> Iterator[None]:
    """The page's own namespace, which the first command makes. It must not be there, and goes afterwards."""
    assert run("kubectl", "get", "namespace", "taskpost", "--ignore-not-found") == "", "the page's namespace is in use"
    valkey_is_there()
    yield
    run("kubectl", "delete", "namespace", "taskpost", "--wait=false", "--ignore-not-found")


def valkey_is_there() -> None:
    """What a node with a way to Docker Hub pulls by itself."""
    if Release("default").on_our_node():
        run("buildah", "tag", "localhost/taskpost-valkey", VALKEY)
        run(str(ROOT / "tests" / "cluster" / "node.sh"), "import", VALKEY, "hub")


def do(line: str) -> str:
    """Run a command of the page as it stands there, in the repository."""
    path = f"{SHIMS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def left() -> list[str]:
    """What the page's command lists, by kind and name, without what is still being deleted."""
    return sorted(do(f"{LEFT} --output name").split())


def images() -> set[str]:
    release = Release("taskpost")
    return {one["image"] for pod in release.get("pods")["items"] for one in pod["spec"]["containers"]}


def test_it_is_installed_from_a_registry_tried_and_uninstalled():
    assert [line.split()[0] for line in BY_REGISTRY] == ["docker", "docker", "docker", "docker", "helm"]
    for line in BY_REGISTRY:
        do(line)
    assert "registry.example.com/taskpost-api:0.1.0" in images()
    test, submit, key = TRY[:3]
    told = do(f"{test} 2>&1")  # Helm prints what a hook prints on stderr
    printed = PHASE.findall(told)[:5]
    assert [phase for phase, _ in printed] == [phase for phase, _ in PHASE.findall(PAGE)]
    assert [text for _, text in printed] == [text for _, text in PHASE.findall(PAGE)]
    assert json.loads(do(submit))["value"] == "354224848179261915075"
    assert re.fullmatch(r"whsec_\S{44}\n", do(key))
    release = Release("taskpost")
    runner = release.pod_of(release.submit("sleep", {"seconds": 1}))["spec"]["containers"][0]["image"]
    assert runner == "registry.example.com/taskpost-runner:0.1.0"
    release.forward.close()
    assert TRY[3].endswith("port-forward service/taskpost 8000:80")
    do(UNINSTALL)
    until(lambda: left() == ["pod/taskpost-test"], 120, lambda: f"only the test's pod to be left of {left()}")
    assert UNINSTALL in PAGE
    do(removed_by("taskpost-test"))
    assert left() == []


def test_it_is_installed_in_kind_and_a_volume_that_is_retained_is_used_again():
    assert [line.split()[0] for line in BY_KIND] == ["docker", "docker", "kind", "helm"]
    for line in BY_KIND:
        do(line)
    assert "taskpost-api:0.1.0" in images()
    release = Release("taskpost")
    task_id = release.submit("fibonacci", {"n": 10})
    release.ended(task_id)
    do(RETAIN)
    release.forward.close()
    do(UNINSTALL)
    claim = "persistentvolumeclaim/data-taskpost-valkey-0"
    until(lambda: left() == [claim], 120, lambda: f"only the claim to be left of {left()}")
    do(BY_KIND[-1])
    assert release.task(task_id)["task_status"] == "done"
    do(RETAIN)
    release.forward.close()
    do(UNINSTALL)
    until(lambda: left() == [claim], 120, lambda: f"only the claim to be left of {left()}")
    do(removed_by("data-taskpost-valkey-0"))
    assert left() == []


def rows_of_what_is_left() -> list[str]:
    section = PAGE.partition("\n## Uninstall\n")[2]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def removed_by(name: str) -> str:
    """What the page says removes it."""
    (row,) = (row for row in rows_of_what_is_left() if f"`{name}`" in row.split("|")[1])
    return row.split("|")[3].strip(" `")
