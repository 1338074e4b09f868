#!/usr/bin/env python3
"""Check that everything that names the version of Taskpost names the same one. Needs nothing but Python 3.11 or later.

usage: scripts/versions.py VERSION [--release]

With `--release` the changelog must have a section for it too.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = re.compile(r"\d+\.\d+\.\d+")
IN_FILES = (
    ("helm/Chart.yaml", r"^version: (\S+)$"),
    ("helm/Chart.yaml", r'^appVersion: "(.+)"$'),
    ("Dockerfile.api", r"^ARG VERSION=(\S+)$"),
    ("Dockerfile.runner", r"^ARG VERSION=(\S+)$"),
    ("docs/kubernetes.md", r"\btaskpost-(?:api|runner):(\d[\w.-]*)"),
    ("manifests/secrets.sh", r'app\.kubernetes\.io/version: "(.+)"$'),
    ("manifests/install.yaml", r"app\.kubernetes\.io/version: (\S+)$"),
    ("manifests/install.yaml", r"\btaskpost-(?:api|runner):(\S+)$"),
)
IN_CHANGELOG = r"^## \[(\d\S*)\]"


def named_versions(root: Path) -> Iterator[tuple[str, str]]:
    """Return where a version is named, and which."""
    for name in ("pyproject.toml", "client/pyproject.toml"):
        yield name, tomllib.loads((root / name).read_text(encoding="utf-8"))["project"]["version"]
    for name, pattern in IN_FILES:
        found = re.findall(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        yield from ((name, version) for version in found or ["no version"])


def main(arguments: list[str]) -> int:
    """Print what does not have the version; return the exit code."""
    is_release = "--release" in arguments
    (wanted,) = (argument for argument in arguments if argument != "--release")
    if not VERSION.fullmatch(wanted):
        print(f"{wanted} is not a version of Taskpost: expected three numbers, for example 1.2.3", file=sys.stderr)
        return 1
    root = Path(__file__).parents[1]
    wrong = sorted({(name, version) for name, version in named_versions(root) if version != wanted})
    for name, version in wrong:
        print(f"{name} has {version}, not {wanted}", file=sys.stderr)
    sections = re.findall(IN_CHANGELOG, (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if is_release and wanted not in sections:
        print(f"CHANGELOG.md has no section [{wanted}]: name what was unreleased so", file=sys.stderr)
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
