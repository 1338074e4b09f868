"""A release for a benchmark, and what its pods use, as the kernel of the node has it."""

from __future__ import annotations

import asyncio
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from api.executors.kubernetes.client import Access, Cluster
from tests.e2e.audit import events
from tests.e2e.processes import processes_of
from tests.e2e.release import ENDED, Release, run, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

AT_A_TIME = 20


@dataclass
class Place:
    """A release and a way to its API that no port-forward slows down."""

    release: Release
    url: str

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30)

    async def submit(
        self, number: int, task_type: str, task_input: dict[str, Any], result_url: str | None
    ) -> list[str]:
        """Submit many tasks, some at a time; return their ids."""
        body = {"task_type": task_type, "task_input": task_input, "result_url": result_url}
        room = asyncio.Semaphore(AT_A_TIME)

        async def one(client: httpx.AsyncClient) -> str:
            async with room:
                answer = await client.post(f"{self.url}/api/tasks", json=body)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["task"]["task_id"])

        async with httpx.AsyncClient(timeout=30) as client:
            return list(await asyncio.gather(*(one(client) for _ in range(number))))

    def tasks(self, query: str = "limit=1000") -> list[dict[str, Any]]:
        return list(self.client.get(f"/api/tasks?{query}").json())

    def count(self, status: str) -> int:
        answer = self.client.get(f"/api/tasks?limit=1&status={status}")
        return int(answer.headers["x-total-count"])

    def wait_until_ended(self, number: int, seconds: float) -> None:
        """Wait for tasks to end. Raises if one has failed, because it costs less and looks fast."""
        until(lambda: self.ended() >= number, seconds, f"{number} tasks to end", poll_seconds=1)
        assert not (failed := self.tasks("limit=1&status=failed")), failed

    def ended(self) -> int:
        return sum(self.count(status) for status in ENDED)

    def cluster(self) -> Cluster:
        """The API server, as the administrator of the cluster."""
        return Cluster(Access(self.release.namespace, Path(os.environ["KUBECONFIG"])))

    def calls(self) -> list[dict[str, Any]]:
        """The calls of the service to the API server, watches aside, as its audit log has them."""
        account = f"system:serviceaccount:{self.release.namespace}:{self.release.prefix}"
        every = events(self.release.namespace, reads=True)
        return [event for event in every if event["user"]["username"] == account and event["verb"] != "watch"]

    def processes(self, component: str) -> list[psutil.Process]:
        """The processes of a component's containers; there is at least one."""
        found = processes_of(self.release.pods(component))
        assert found, f"no process of {component} is seen"
        return found


@contextmanager
def place(**values: Any) -> Iterator[Place]:
    """A release in a namespace of its own, gone afterwards."""
    namespace = f"bench-{uuid.uuid4().hex[:6]}"
    run("kubectl", "create", "namespace", namespace)
    release = Release(namespace, values)
    try:
        release.install()
        address = release.get("service", release.prefix)["spec"]["clusterIP"]
        here = Place(release, f"http://{address}")
        with here.client:
            yield here
        release.uninstall()
    finally:
        run("kubectl", "delete", "namespace", namespace, "--wait=false")


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def resident_bytes(processes: list[psutil.Process]) -> int:
    return max(process.memory_info().rss for process in processes)
