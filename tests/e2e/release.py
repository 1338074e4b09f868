"""A release of the chart as a user has one: by helm and kubectl, and its public API through a port-forward."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm"
LOCAL_IMAGES = ROOT / "tests" / "cluster" / "values.yaml"
ENDED = {"done", "failed", "cancelled"}
POLL_SECONDS = 0.2
LONGEST_NAME = 40

Object = dict[str, Any]


def run(*command: str, timeout_seconds: float = 180, given: str | None = None, warns: bool = False) -> str:
    """Run a command, and return what it prints. A warning is a failure too, unless it is known that it `warns`."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout_seconds, input=given, cwd=ROOT
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    assert warns or "warning" not in done.stderr.lower(), f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def until(
    look: Callable[[], Any], seconds: float, what: str | Callable[[], str] = "", *, poll_seconds: float = POLL_SECONDS
) -> Any:
    """Look until what is seen is true, and return it. `what` says what was waited for, or what was seen last."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"waited {seconds:g} s for {what() if callable(what) else what or look}"
        time.sleep(poll_seconds)


def name_of_objects(release: str) -> str:
    """What the chart calls the objects of a release."""
    whole = release if "taskpost" in release else f"{release}-taskpost"
    if len(whole) <= LONGEST_NAME:
        return whole
    return f"{whole[: LONGEST_NAME - 9].removesuffix('-')}-{sha256(whole.encode()).hexdigest()[:8]}"


@dataclass
class Release:
    """A release in a namespace. `values` are those beside the local images."""

    namespace: str
    values: Object = field(default_factory=dict)
    name: str = "taskpost"
    chart: Path = CHART

    def __post_init__(self) -> None:
        self.use(name_of_objects(self.name))

    def use(self, prefix: str) -> None:
        """Its objects have this name."""
        self.prefix = prefix
        self.forward = Forward(self.namespace, f"service/{prefix}")

    def install(self, *options: str) -> Self:
        self._helm("install", *options)
        return self

    def upgrade(self, *options: str, **values: Any) -> None:
        self.values |= values
        self._helm("upgrade", *options)

    def uninstall(self) -> None:
        self.forward.close()
        run("helm", "uninstall", self.name, "--namespace", self.namespace, "--wait")

    def _helm(self, verb: str, *options: str) -> None:
        run(
            *("helm", verb, self.name, str(self.chart), "--namespace", self.namespace, "--values", str(LOCAL_IMAGES)),
            *("--values", "-", "--wait", "--timeout", "2m", *options),
            given=yaml.safe_dump(self.values),
        )

    def kubectl(self, *arguments: str, given: str | None = None, warns: bool = False) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, given=given, warns=warns)

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def pods(self, component: str) -> list[Object]:
        return self.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]

    def jobs(self) -> list[Object]:
        return self.get("jobs", "-l", f"taskpost.dev/instance={self.prefix}")["items"]

    def pod_of(self, task_id: str) -> Object:
        """The pod of a task, as soon as there is one."""
        found = until(lambda: self.get("pods", "-l", f"taskpost.dev/task-id={task_id}")["items"], 30, "a pod")
        return dict(found[0])

    def job_of(self, task_id: str) -> Object:
        """The Job of a task, as soon as there is one."""
        found = until(lambda: self.get("jobs", "-l", f"taskpost.dev/task-id={task_id}")["items"], 30, "a Job")
        return dict(found[0])

    def job_and_pods_of(self, task_id: str) -> list[str]:
        return self.kubectl("get", "jobs,pods", "-l", f"taskpost.dev/task-id={task_id}", "-o", "name").split()

    def suspend(self, task_id: str, *, suspended: bool) -> None:
        """Suspend the Job of a task's first attempt, or let it go on, as Kueue does."""
        self.kubectl("patch", "job", f"tp-{task_id}-1", "--patch", json.dumps({"spec": {"suspend": suspended}}))

    def secret(self, name: str, key: str) -> str:
        return base64.b64decode(self.get("secret", name)["data"][key]).decode()

    def on_our_node(self) -> bool:
        """Whether this is the cluster of `tests/cluster/node.sh`, which is this very machine."""
        return bool(self.get("nodes")["items"][0]["metadata"]["name"] == "node-1")

    def signing_key(self) -> str:
        return self.secret(f"{self.prefix}-runner", "signing-keys").split()[0]

    def valkey(self, *command: str) -> str:
        """Run a command in the bundled Valkey, as the service's user."""
        url = urlsplit(self.secret(f"{self.prefix}-redis", "redis-url"))
        login = ("env", f"REDISCLI_AUTH={url.password}", "valkey-cli", "--user", str(url.username))
        return self.kubectl("exec", f"{self.prefix}-valkey-0", "--", *login, *command).strip()

    # The public API.

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Call the API; again for a while if the port-forward broke: the pod it led to may have gone."""
        end = time.monotonic() + 60
        while True:
            try:
                return httpx.request(method, self.forward.url() + path, timeout=15, **more)
            except httpx.TransportError:
                self.forward.close()
                if time.monotonic() > end:
                    raise
                time.sleep(POLL_SECONDS)

    def submit(
        self, task_type: str, task_input: Object, result_url: str | None = None, *, key: str | None = None, **more: Any
    ) -> str:
        """Submit a task, with an idempotency key until it is taken, and return its id."""
        body = {"task_type": task_type, "task_input": task_input, "result_url": result_url} | more
        headers = {"Idempotency-Key": key or os.urandom(12).hex()}

        def taken() -> str | None:
            answer = self.call("POST", "/api/tasks", json=body, headers=headers)
            if answer.status_code == 503:
                return None
            assert answer.status_code == 202, answer.text
            return str(answer.json()["task"]["task_id"])

        return until(taken, 120, "202")

    def task(self, task_id: str) -> Object:
        answer = self.call("GET", f"/api/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def when(self, task_id: str, seen: Callable[[Object], bool], seconds: float = 60) -> Object:
        """Wait for a task to be as wanted, and return it. While Redis is away there is nothing to see."""
        last: Object = {}

        def look() -> bool:
            answer = self.call("GET", f"/api/tasks/{task_id}")
            assert answer.status_code in {200, 503}, answer.text
            last.update(answer.json())
            return answer.status_code == 200 and seen(last)

        until(look, seconds, lambda: json.dumps(last))
        return last

    def ended(self, task_id: str, seconds: float = 60) -> Object:
        return self.when(task_id, lambda task: task["task_status"] in ENDED, seconds)

    def running(self, task_id: str, seconds: float = 60) -> Object:
        return self.when(task_id, lambda task: task["task_status"] == "running", seconds)

    def waits_for(self, task_id: str, code: str, seconds: float = 60) -> str:
        """Wait until a task says that it waits for something, and return its words."""
        seen = self.when(task_id, lambda task: (task["waiting_reason"] or {}).get("code") == code, seconds)
        return str(seen["waiting_reason"]["message"])


class Forward:
    """`kubectl port-forward` to a free port, begun when it is needed, and again when it has ended."""

    def __init__(self, namespace: str, target: str) -> None:
        self._command = ["kubectl", "--namespace", namespace, "port-forward", target]
        self._port = ""
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        self._lock = threading.Lock()

    def url(self) -> str:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._begin()
            return self._url

    def fix(self, port: int) -> None:
        """Listen on this port of the loopback from now on, and not on any that is free."""
        self.close()
        self._port = str(port)
        self.url()

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.terminate()
                self._process.wait()
                self._process = None

    def _begin(self) -> None:
        command = [*self._command, f"{self._port}:80"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        told = process.stdout.readline()
        threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
        found = re.search(r"127\.0\.0\.1:(\d+)", told)
        if found is None:
            process.kill()
            process.wait()
            raise httpx.ConnectError(f"no port-forward: {told}")
        self._process, self._url = process, f"http://127.0.0.1:{found[1]}"


def _drain(printed: IO[str]) -> None:
    """Read what it prints, so that it never waits for a reader."""
    with printed:
        for _ in printed:
            pass
