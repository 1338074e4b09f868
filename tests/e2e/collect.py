"""What a namespace was like when a test failed: objects, events, descriptions and logs, a file for each.

By hand: `tests/cluster/cluster.sh exec .venv/bin/python -m tests.e2e.collect NAMESPACE...` prints the folder.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 30.0
KINDS = (  # Secrets are told of by name only, in objects.txt
    *("deployments", "replicasets", "statefulsets", "jobs", "pods", "services", "endpointslices", "configmaps"),
    *("persistentvolumeclaims", "serviceaccounts", "roles", "rolebindings", "networkpolicies", "resourcequotas"),
    *("poddisruptionbudgets", "horizontalpodautoscalers", "ingresses"),
)


def folder(name: str) -> Path:
    """A new folder under TASKPOST_E2E_DIRECTORY, or in the directory for temporary files."""
    parent = Path(os.environ.get("TASKPOST_E2E_DIRECTORY", Path(tempfile.gettempdir()) / "taskpost-e2e"))
    path = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^A-Za-z0-9._-]+', '-', name)[-80:].strip('-')}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def collect(namespaces: list[str], directory: Path) -> Path:
    """Write all that is known of the namespaces. Never raises: it is called when something has failed already."""
    commands = {"cluster.txt": ["kubectl", "get", "nodes,persistentvolumes,namespaces", "-o", "wide"]}
    for namespace in namespaces:
        of = ["kubectl", "--namespace", namespace]
        names = ",".join((*KINDS, "secrets"))
        commands |= {
            f"{namespace}/objects.txt": [*of, "get", names, "-o", "wide"],
            f"{namespace}/events.txt": [*of, "get", "events", "--sort-by=.metadata.creationTimestamp"],
            f"{namespace}/describe-pods.txt": [*of, "describe", "pods"],
            f"{namespace}/describe-jobs.txt": [*of, "describe", "jobs"],
            f"{namespace}/helm.txt": ["helm", "--namespace", namespace, "list", "--all"],
            f"{namespace}/audit.jsonl": [
                *("sh", "-c", '"$0" audit | grep -F "/namespaces/$1/"'),
                *(str(ROOT / "tests/cluster/cluster.sh"), namespace),
            ],
        }
        commands |= {f"{namespace}/{kind}.yaml": [*of, "get", kind, "-o", "yaml"] for kind in KINDS}
        commands |= _logs(namespace)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item: _write(directory / item[0], item[1]), commands.items()))
    return directory


def _logs(namespace: str) -> dict[str, list[str]]:
    """The commands for the logs of every container there is, and of the one before if it was restarted."""
    of = ["kubectl", "--namespace", namespace]
    commands = {}
    try:
        pods = json.loads(_output([*of, "get", "pods", "-o", "json"]))["items"]
    except ValueError:
        return {}
    for pod in pods:
        status = pod.get("status", {})
        for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            name, of_container = pod["metadata"]["name"], container["name"]
            log = [*of, "logs", name, "--container", of_container, "--timestamps"]
            commands[f"{namespace}/logs/{name}.{of_container}.log"] = log
            if container.get("restartCount"):
                commands[f"{namespace}/logs/{name}.{of_container}.before.log"] = [*log, "--previous"]
    return commands


def _write(path: Path, command: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_output(command))


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}\n"
    return done.stdout.decode(errors="replace")


if __name__ == "__main__":
    print(collect(sys.argv[1:], folder("by-hand")))
