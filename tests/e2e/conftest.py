"""Tests through the public API and kubectl, on a cluster that is there for tests: `make cluster` makes one.

They run only when TASKPOST_E2E is set, never because some KUBECONFIG is: it could be that of a real cluster.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.e2e.collect import collect, folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

if not os.environ.get("TASKPOST_E2E"):
    collect_ignore_glob = ["test_*.py"]

NAMESPACES = pytest.StashKey[list[str]]()
RESTRICTED = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn", "audit")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """When a test fails, keep what its namespaces look like, before they are removed; its report says where."""
    report = yield
    if report.failed and report.when in {"setup", "call"}:
        namespaces = item.session.stash.get(NAMESPACES, [])
        report.sections.append(("Cluster", f"collected in {collect(namespaces, folder(item.name))}"))
    return report


@pytest.fixture(scope="session")
def make_namespace(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Makes namespaces that enforce Pod Security "restricted". TASKPOST_E2E=keep keeps them."""
    made = request.session.stash.setdefault(NAMESPACES, [])

    def make(name: str) -> str:
        namespace = f"{name}-{uuid.uuid4().hex[:6]}"
        kubectl("create", "namespace", namespace)
        made.append(namespace)
        kubectl("label", "namespace", namespace, *RESTRICTED)
        return namespace

    yield make
    if os.environ["TASKPOST_E2E"] != "keep":
        for namespace in made:
            kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    """A namespace for the tests of a module."""
    return make_namespace("e2e")


def kubectl(*arguments: str) -> str:
    """Run kubectl, and return what it prints."""
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout
