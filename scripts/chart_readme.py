"""Writes helm/README.md from the values of the chart and their comments: `.venv/bin/python scripts/chart_readme.py`.

tests/deploy/test_chart_readme.py fails where this was forgotten.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "helm"
LONGEST_DEFAULT: Final = 160
SECTION: Final = re.compile(r"# -{5,} (.+)")
WHOLE: Final = ("resources", "sidecarResources")
"""Values that are shown as they are, with what is in them."""
HEAD: Final = """# {name}

{description}.

This page is made from [values.yaml](values.yaml) by `scripts/chart_readme.py`: do not edit it. For Kubernetes {kube_version}, with Helm 3 or 4.
The sources are at {source}; `docs/kubernetes.md` there tells of images, secrets, networks, upgrades and what an uninstall leaves.

    helm install taskpost . --namespace taskpost --create-namespace --wait \\
        --set image.registry=registry.example.com,taskPods.image.registry=registry.example.com
    helm test taskpost --namespace taskpost

`registry.example.com` is where your nodes get the images `taskpost-api` and `taskpost-runner`. Taskpost has no login: keep the Service inside the
cluster, or put a proxy that asks who it is in front. A value that is not below is refused, with its place.
"""  # noqa: E501 - Markdown

Schema = dict[str, Any]
Rows = Iterator[tuple[int, str]]


def render() -> str:
    """Return the text of the page."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    head = HEAD.format(
        name=chart["name"],
        description=chart["description"].partition(": ")[2],
        kube_version=chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0") + " or later",
        source=chart["sources"][0],
    )
    return head + _sections(yaml.compose(text), text.splitlines(), schema)


def _sections(root: yaml.MappingNode, lines: list[str], schema: Schema) -> str:
    headings = [(number, found[1]) for number, line in enumerate(lines) if (found := SECTION.fullmatch(line))]
    parts = [(0, "the whole chart"), *headings]
    ends = [number for number, _ in headings] + [len(lines)]
    rows = list(_rows(root, (), lines, schema, schema))
    pages = []
    for (start, title), end in zip(parts, ends, strict=True):
        table = "\n".join(row for line, row in rows if start <= line < end)
        pages.append(f"\n## {title[0].upper()}{title[1:]}\n\n| value | default | |\n|---|---|---|\n{table}\n")
    return "".join(pages)


def _rows(node: yaml.MappingNode, above: tuple[str, ...], lines: list[str], schema: Schema, whole: Schema) -> Rows:
    """Yield the line and the row of each value, in order."""
    for key, value in node.value:
        path, line = (*above, key.value), key.start_mark.line
        below = _resolved(schema["properties"][key.value], whole)
        is_group = isinstance(value, yaml.MappingNode) and "properties" in below and path[-1] not in WHOLE
        default = "" if is_group else _default(value)
        yield line, f"| `{'.'.join(path)}` | {default} | {_description(path, lines, line)} |"
        if is_group:
            yield from _rows(value, path, lines, below, whole)


def _resolved(schema: Schema, whole: Schema) -> Schema:
    reference = schema.get("$ref", "").removeprefix("#/definitions/")
    return whole["definitions"][reference] if reference else schema


def _default(node: yaml.Node) -> str:
    text = json.dumps(yaml.safe_load(yaml.serialize(node)), ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "see values.yaml"


def _description(path: tuple[str, ...], lines: list[str], line: int) -> str:
    """Return the comment above a line, up to an empty one. What a setting is, docs/operations.md says."""
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    found = [text.strip().removeprefix("#").strip() for text in lines[first:line]]
    starts = [number for number, text in enumerate(found) if text.startswith("-- ")]
    words = found[starts[-1] :] if starts else found
    words = words[: words.index("")] if "" in words else words
    if path[0] == "settings" and len(path) > 1:
        words = [f"`TASKPOST_{path[1].upper()}`.", *words]
    elif not starts:
        sys.exit(f"values.yaml: {'.'.join(path)} has no description: write a comment that begins with `# --` above it")
    return " ".join(words).removeprefix("-- ").replace("|", "\\|")


if __name__ == "__main__":
    (CHART / "README.md").write_text(render(), encoding="utf-8")
