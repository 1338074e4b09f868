"""The chart's README is made from its values, and what Chart.yaml says of the chart is true."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import yaml

from tests.deploy.rendering import CHART, ROOT
from tests.deploy.test_schemas import OLDEST

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_readme_is_made_from_the_values():
    command = [sys.executable, "-c", "import chart_readme; print(chart_readme.render(), end='')"]
    done = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (CHART / "README.md").read_text() == done.stdout, "run: .venv/bin/python scripts/chart_readme.py"


def test_every_value_has_a_row_with_its_default_and_a_description():
    rows = {}
    for line in (CHART / "README.md").read_text().splitlines():
        if line.startswith("| `"):
            name, default, text = line.strip("| ").split(" | ", 2)
            rows[name.strip("`")] = (default.strip(), text)
    for name, value in VALUES.items():
        assert rows[name][1], name
        if not isinstance(value, dict):
            assert rows[name][0] == f"`{json.dumps(value)}`"
    assert rows["valkey.persistence.size"][0] == '`"8Gi"`'
    assert rows["valkey.maxmemory"][1].startswith("Memory for data.")
    assert {f"settings.{name}" for name in VALUES["settings"]} <= rows.keys()


def test_the_chart_says_for_which_kubernetes_it_is_and_where_it_comes_from():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={OLDEST}.0-0", "builds of vendors count as prereleases: v1.31.2-eks-1"
    assert chart["sources"]
    assert all(source.startswith("https://") for source in chart["sources"])
