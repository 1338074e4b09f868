"""Writes `api/executors/kubernetes/pod_objects.json`: the form of what a task type's `pod` and `egress` may have.

    .venv/bin/python -m tests.support.pod_objects

Taken from the newest Kubernetes that `kubernetes-validate` has. A test compares the file with it.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

VERSION = "1.37"
ROOTS = ("Affinity", "EnvVar", "NetworkPolicyEgressRule", "ResourceRequirements", "Toleration", "Volume", "VolumeMount")
TARGET = Path(__file__).parents[2] / "api" / "executors" / "kubernetes" / "pod_objects.json"
QUANTITY, NUMBER_OR_NAME = ["string", "number"], ["string", "integer"]


def pod_objects() -> dict[str, Any]:
    """Return the form of each kind of object by its short name, without descriptions."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{VERSION}.0-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]
    by_name = {name.rpartition(".")[2]: one for name, one in definitions.items() if _is_meant(name)}
    made: dict[str, Any] = {}
    open_ = list(ROOTS)
    while open_:
        name = open_.pop()
        if name not in made:
            made[name] = _form(by_name[name])
            open_ += re.findall(r'"\$ref": "(\w+)"', json.dumps(made[name]))
    return dict(sorted(made.items()))


def _is_meant(name: str) -> bool:
    """Other groups have objects of the same short names."""
    return name.startswith(("io.k8s.api.core.v1.", "io.k8s.api.networking.v1.", "io.k8s.apimachinery."))


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with what is checked only: every member may be null, which is the same as leaving it out."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"].rpartition(".")[2]}
    if "oneOf" in schema:
        number = "integer" if any("integer" in one["type"] for one in schema["oneOf"]) else "number"
        return {"type": NUMBER_OR_NAME if number == "integer" else QUANTITY}
    form: dict[str, Any] = {"type": [one for one in _types(schema) if one != "null"]}
    if "properties" in schema:
        form["properties"] = {name: _form(one) for name, one in sorted(schema["properties"].items())}
    if schema.get("required"):
        form["required"] = sorted(schema["required"])
    if isinstance(schema.get("additionalProperties"), dict):
        form["additionalProperties"] = _form(schema["additionalProperties"])
    if "items" in schema:
        form["items"] = _form(schema["items"])
    return form


def _types(schema: dict[str, Any]) -> list[str]:
    given = schema.get("type", "object")
    return [given] if isinstance(given, str) else list(given)


def text() -> str:
    """Return the file: a line for each kind of object."""
    lines = [f"  {json.dumps(name)}: {json.dumps(form)}" for name, form in pod_objects().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text())
