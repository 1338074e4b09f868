"""Where the conformance suite runs the Kubernetes executor: a namespace of the cluster that KUBECONFIG names."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from secrets import token_hex

from api.core.observation import AttemptId
from api.executors.base import AttemptSpec
from api.executors.kubernetes import KubernetesExecutor
from api.executors.kubernetes.client import Access, Cluster
from api.executors.kubernetes.job import selector
from api.executors.kubernetes.pods import PodSettings
from api.executors.kubernetes.template import JobSettings

NAMESPACE = "taskpost-conformance"
IMAGE = os.environ.get("TASKPOST_TEST_IMAGE", "localhost/taskpost-runner:0.1.0")
GRACE_SECONDS = 2
PROGRAM = """
import os, signal, subprocess, sys
verb, *words = os.environ["PROGRAM"].split()

def say(*words):
    with open("/dev/termination-log", "w") as log:
        print(*words, file=log)
    print(*words, flush=True)

def play():
    if verb in {"write", "talk"}:
        say(*words)
    if verb == "show":
        say(*(os.environ.get(word, "(unset)") for word in words))
    if verb == "stubborn" or "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if verb in {"parent", "leave"}:
        subprocess.Popen(["sleep", "1000"])
    if verb == "fork" and os.fork() == 0:
        signal.pause()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if verb == "stubborn" else signal.SIG_DFL)
    print("begun", flush=True)
    if verb in {"pause", "stubborn", "parent", "fork", "flood", "talk"}:
        while True:
            signal.pause()
    if verb == "die":
        os.kill(os.getpid(), int(words[0]))
    os._exit(int(words[0]) if verb == "exit" else 0)

# The first process of a container gets no signal that it does not handle: the program is its child.
child = os.fork()
if child == 0:
    play()
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
_, status = os.waitpid(child, 0)
code = os.waitstatus_to_exitcode(status)
os._exit(code if code >= 0 else 128 - code)
"""


def why_not() -> str | None:
    """Why there is no cluster to run this on."""
    if not os.environ.get("KUBECONFIG"):
        return "no cluster: KUBECONFIG is not set"
    return None if shutil.which("kubectl") else "no kubectl on the PATH"


async def kubectl(*words: str, given: str = "", check: bool = True) -> str:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate(given.encode())
    assert not check or process.returncode == 0, error.decode()
    return out.decode()


class KubernetesPlace:
    def __init__(self, _directory: Path | None = None, **pods: object) -> None:
        self.instance = f"test-{token_hex(4)}"
        self.pods = PodSettings(image=IMAGE, command=("python3", "-c", PROGRAM), run_as_user=65532, **pods)  # type: ignore[arg-type]
        self.executor = self.make_executor()

    def make_executor(self) -> KubernetesExecutor:
        return KubernetesExecutor(
            Cluster(Access(NAMESPACE, Path(os.environ["KUBECONFIG"]))),
            JobSettings(self.instance, "taskpost-runner", start_deadline_seconds=600, grace_seconds=GRACE_SECONDS),
            lambda _: self.pods,
        )

    async def prepare(self) -> None:
        """Make the namespace, one that takes restricted pods alone, if it is not there yet."""
        if await kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
            return
        await kubectl("create", "namespace", NAMESPACE)
        await kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        await kubectl(
            "-n", NAMESPACE, "create", "secret", "generic", "taskpost-runner", "--from-literal=redis-url=redis://x"
        )
        while not await kubectl(  # noqa: ASYNC110 - nobody tells us
            "-n", NAMESPACE, "get", "serviceaccount", "default", "--ignore-not-found"
        ):
            await asyncio.sleep(0.2)

    def spec(self, task_id: str, program: str, attempt: int = 1, **environment: str) -> AttemptSpec:
        environment |= {"PROGRAM": program, "TASKPOST_TOKEN": "token"}
        return AttemptSpec(AttemptId(f"{task_id}-{self.instance}", attempt), "test", environment)

    async def begun(self, spec: AttemptSpec) -> None:
        """Wait until the program is where it should be."""
        async with asyncio.timeout(60):
            job = f"job/tp-{spec.attempt_id}"
            while "begun" not in await kubectl("-n", NAMESPACE, "logs", job, check=False):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    async def nothing_left(self, spec: AttemptSpec) -> bytes:
        """Wait until no pod of the attempt lives; return what else than the first one began."""
        labels = f"{selector(self.instance)},taskpost.dev/task-id={spec.attempt_id.task_id}"
        template = "{range .items[*]}{.status.phase}{'\\n'}{end}"
        async with asyncio.timeout(60):
            while True:
                phases = (
                    await kubectl("-n", NAMESPACE, "get", "pods", "-l", labels, "-o", f"jsonpath={template}")
                ).split()
                if not {"Running", "Pending"} & set(phases):
                    return b"begun\n" * max(0, len(phases) - 1)
                await asyncio.sleep(0.2)

    async def reopen(self) -> None:
        """Let go of the executor as a service that ends does, and open one as the next service does."""
        await self.executor.close()
        self.executor = self.make_executor()
        await self.executor.open()

    async def close(self) -> None:
        await self.executor.close()
        await kubectl("-n", NAMESPACE, "delete", "jobs", "-l", selector(self.instance), "--wait=false")
