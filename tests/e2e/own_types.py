"""The task types of `types/`, where service and runners of a release find them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.release import run

TYPES = Path(__file__).parent / "types" / "e2e_types.py"


def mount_types(namespace: str, **of_pods: Any) -> dict[str, Any]:
    """Put the types into a ConfigMap of the namespace; return the values that mount it, with what else task pods have.

    The setting `task_modules` is left to name `e2e_types`.
    """
    run("kubectl", "--namespace", namespace, "create", "configmap", "types", f"--from-file={TYPES}")
    volumes = [{"name": "types", "configMap": {"name": "types"}}]
    mounts = [{"name": "types", "mountPath": "/opt/types"}]
    env = [{"name": "PYTHONPATH", "value": "/opt/types"}]
    return {
        "extraVolumes": volumes,
        "extraVolumeMounts": mounts,
        "extraEnv": env,
        "taskPods": {"volumes": volumes, "volumeMounts": mounts, "env": env} | of_pods,
    }
