"""Stands in for kubelet and runner on nodes that only pretend: says to Redis what a runner says, and ends the pod.

Run as a process of its own, so that its CPU time is not taken for anybody else's:
`python -m tests.benchmarks.cluster.stand_in NAMESPACE SELECTOR REDIS_URL` until it is terminated.
TASKPOST_SIGNING_KEYS has the keys that seal the tokens of attempts.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from api.executors.kubernetes.client import Access, ApiError, Cluster
from runner.attempt import read_attempt
from runner.connect import connect
from runner.contract import Env, State, log_entry, outcome_body
from runner.outcome import Outcome
from runner.report import Report

THREADS = 4


class StandIn:
    """Ends every pod that runs and matches a selector; those without an attempt in their environment just end."""

    def __init__(self, namespace: str, selector: str, redis_url: str) -> None:
        self._namespace = namespace
        self._selector = selector
        self._redis_url = redis_url
        self._redis = connect(redis_url, max_connections=2 * THREADS)
        self._pool = ThreadPoolExecutor(THREADS)
        kubeconfig = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        self._api = httpx.AsyncClient(
            base_url=kubeconfig["clusters"][0]["cluster"]["server"],
            headers={"Authorization": f"Bearer {kubeconfig['users'][0]['user']['token']}"},
            verify=False,
            timeout=30,
        )
        self._ended: set[str] = set()

    async def run(self) -> None:
        cluster = Cluster(Access(self._namespace, Path(os.environ["KUBECONFIG"])))
        await cluster.open()
        ending: set[asyncio.Task[None]] = set()
        while True:
            try:
                listed = await cluster.list("pods", labelSelector=self._selector)
                version = str(listed["metadata"]["resourceVersion"])
                for pod in listed["items"]:
                    self._begin(pod, ending)
                while True:
                    async for _, pod in cluster.watch("pods", version, labelSelector=self._selector):
                        version = str(pod["metadata"]["resourceVersion"])
                        self._begin(pod, ending)
            except ApiError as error:
                print(f"again after {error}", flush=True)
                await asyncio.sleep(1)

    def _begin(self, pod: dict[str, Any], ending: set[asyncio.Task[None]]) -> None:
        uid = pod["metadata"].get("uid", "")
        if pod.get("status", {}).get("phase") != "Running" or uid in self._ended:
            return
        self._ended.add(uid)
        task = asyncio.create_task(self._end(pod))
        ending.add(task)
        task.add_done_callback(ending.discard)
        task.add_done_callback(lambda done: done.result())

    async def _end(self, pod: dict[str, Any]) -> None:
        container = pod["spec"]["containers"][0]
        environment = {one["name"]: one.get("value", "") for one in container.get("env", [])}
        if Env.TASK_ID in environment:
            given = {name: value for name, value in environment.items() if not name.endswith("_FILE")}
            given |= {Env.REDIS_URL: self._redis_url, Env.HOLDER: pod["metadata"]["uid"]}
            given |= {Env.SIGNING_KEYS: os.environ[Env.SIGNING_KEYS]}
            await asyncio.get_running_loop().run_in_executor(self._pool, self._report, given)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
        status = {"name": container["name"], "image": container["image"], "imageID": "", "ready": False}
        status |= {"restartCount": 0, "state": {"terminated": ended}}
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}/status"
        answer = await self._api.patch(
            path,
            json={"status": {"phase": "Succeeded", "containerStatuses": [status]}},
            headers={"Content-Type": "application/strategic-merge-patch+json"},
        )
        if answer.status_code not in {200, 404}:
            print(answer.text, flush=True)

    def _report(self, environment: dict[str, str]) -> None:
        attempt = read_attempt(environment)
        report = Report(self._redis, attempt)
        started = report.start()
        report.progress(50)
        body = outcome_body(
            task_id=attempt.task_id,
            task_type=started.task_type,
            status=State.DONE,
            result_json="null",
            error=None,
            attempt=attempt.number,
            created_ms=started.created_ms,
            started_ms=started.started_ms,
            finished_ms=started.now_ms,
        )
        report.finish(
            Outcome(State.DONE, "null", None, 50), body, started.now_ms, until=0, log=log_entry(b"", truncated=False)
        )


if __name__ == "__main__":
    asyncio.run(StandIn(*sys.argv[1:]).run())
