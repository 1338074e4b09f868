"""Tests through the public API and kubectl, on a cluster that is there for tests: `make cluster` makes one.

They run only when TASKPOST_E2E is set, never because some KUBECONFIG is: it could be that of a real cluster.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.collect import collect, folder
from tests.e2e.receiver import Receiver
from tests.e2e.release import Release, run

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


@pytest.fixture(scope="module")
def make_namespace(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Makes namespaces that enforce Pod Security "restricted". They go with their module: others need the node too.

    TASKPOST_E2E=keep keeps them.
    """
    made = request.session.stash[NAMESPACES] = []

    def make(name: str) -> str:
        namespace = f"{name}-{uuid.uuid4().hex[:6]}"
        run("kubectl", "create", "namespace", namespace)
        made.append(namespace)
        run("kubectl", "label", "namespace", namespace, *RESTRICTED)
        return namespace

    yield make
    if os.environ["TASKPOST_E2E"] != "keep":
        for namespace in made:
            run("kubectl", "delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    """A namespace for the tests of a module."""
    return make_namespace("e2e")


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """The values that the module's release has beside the local images; modules put their own in its place."""
    return {}


@pytest.fixture(scope="module")
def release(namespace: str, values: dict[str, Any]) -> Iterator[Release]:
    """A release for the tests of a module. When they are over no pod was refused for Pod Security."""
    made = Release(namespace, values).install()
    yield made
    refused = [event["message"] for event in made.get("events")["items"] if "PodSecurity" in event.get("message", "")]
    made.forward.close()
    assert not refused


@pytest.fixture(scope="module")
def receiver(release: Release) -> Iterator[Receiver]:
    """A receiver of callbacks, which knows the release's key."""
    with_key = Receiver()
    with_key.keys.append(release.signing_key())
    yield with_key
    with_key.close()
