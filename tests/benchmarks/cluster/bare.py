"""The floor: Jobs with nothing of ours in them but the image, as many at a time as the service has slots."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.executors.kubernetes.client import Cluster

LABEL = "bench.taskpost.dev/run"
LIMIT_SECONDS = 300
IMPORT_REDIS = ["python", "-c", "import redis"]


def bare_job(template: dict[str, Any], run_id: str, command: list[str], env: list[dict[str, Any]]) -> dict[str, Any]:
    """A Job with the pod of one of ours, but for its command."""
    spec = dict(template["spec"])
    container = spec["containers"][0] | {"command": command, "env": env}
    labels = {LABEL: run_id}
    return {
        "metadata": {"generateName": "bare-", "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": labels}, "spec": spec | {"containers": [container]}},
        },
    }


def bare_pair(template: dict[str, Any], run_id: str, command: list[str]) -> dict[str, Any]:
    """A Job with the two containers of one of ours: a sidecar that does `import redis`, and a program beside it."""
    job = bare_job(template, run_id, command, [])
    pod = job["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    plain = {name: value for name, value in sidecar.items() if name not in {"args", "startupProbe"}}
    pod["initContainers"] = [plain | {"command": IMPORT_REDIS, "env": []}]
    return job


async def run_bare(cluster: Cluster, jobs: list[dict[str, Any]], run_id: str, at_a_time: int) -> float:
    """Create Jobs as pods of earlier ones end, and delete those; return the seconds until all pods are over."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting, over = list(jobs), set()
    selector = f"{LABEL}={run_id}"
    version = str((await cluster.list("pods", labelSelector=selector))["metadata"]["resourceVersion"])
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as calls:
        for _ in range(min(at_a_time, len(jobs))):
            calls.create_task(cluster.create("jobs", waiting.pop()))
        while len(over) < len(jobs):
            async for _, pod in cluster.watch("pods", version, labelSelector=selector):
                version = str(pod["metadata"]["resourceVersion"])
                name = pod["metadata"].get("name")
                if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"} or name in over:
                    continue
                over.add(name)
                if waiting:
                    calls.create_task(cluster.create("jobs", waiting.pop()))
                owner = pod["metadata"]["ownerReferences"][0]
                calls.create_task(cluster.delete("jobs", owner["name"], owner["uid"]))
                if len(over) == len(jobs):
                    break
        return loop.time() - began


def new_run() -> str:
    return uuid.uuid4().hex[:8]
