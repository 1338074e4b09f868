#!/usr/bin/env python3
"""Print the SBOM (CycloneDX 1.6, JSON) of a distribution: it and all that it needs, as installed beside this Python.

usage: .venv/bin/python scripts/sbom.py NAME[EXTRA]

The versions are those of the hashed lock that .venv was made from. The same input gives the same output.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import Distribution, distribution
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(wanted: Requirement) -> dict[str, set[str]]:
    """Return the distributions that a requirement leads to, each with the names of those that it needs itself."""
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [wanted]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        needs = found.setdefault(name, set())
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            for needed in map(Requirement, distribution(name).requires or ()):
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    needs.add(canonicalize_name(needed.name))
                    waiting.append(needed)
    return found


def purl(found: Distribution) -> str:
    """Return the package URL of a distribution."""
    return f"pkg:pypi/{canonicalize_name(found.metadata['Name'])}@{found.version}"


def component(name: str, kind: str) -> dict[str, Any]:
    """Return what an SBOM says of a distribution."""
    found = distribution(name)
    told = {"type": kind, "bom-ref": purl(found), "name": name, "version": found.version, "purl": purl(found)}
    expression = found.metadata.get("License-Expression")
    return told | ({"licenses": [{"expression": expression}]} if expression else {})


def sbom(text: str) -> dict[str, Any]:
    """Return the SBOM of a requirement, for example `taskpost-service[service]`."""
    wanted = Requirement(text)
    top = canonicalize_name(wanted.name)
    found = closure(wanted)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(top, "application")},
        "components": [component(name, "library") for name in sorted(found) if name != top],
        "dependencies": [
            {"ref": purl(distribution(name)), "dependsOn": sorted(purl(distribution(other)) for other in needs)}
            for name, needs in sorted(found.items())
        ],
    }


if __name__ == "__main__":
    (argument,) = sys.argv[1:]
    json.dump(sbom(argument), sys.stdout, indent=1)
    print()
