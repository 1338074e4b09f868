"""GitHub's workflows: pinned, with the least rights, and found good by the tools that know them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.rendering import ROOT, tool
from tests.deploy.test_schemas import NEWEST, OLDEST

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def text(request):
    return request.param.read_text()


def test_there_are_those_for_tests_for_clusters_and_for_releases():
    assert [path.stem for path in WORKFLOWS] == ["ci", "e2e", "release"]


def test_every_action_is_pinned_to_a_commit_with_its_version(text):
    for line in re.findall(r".*uses:.*", text):
        assert PINNED.fullmatch(line.strip().removeprefix("- ")), line


def test_nothing_is_allowed_that_a_job_does_not_ask_for_and_every_job_ends(text):
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert set(job["permissions"]) <= {"contents", "packages"}
        assert job["permissions"]["contents"] == "read"
        assert job["timeout-minutes"] <= 60


def test_the_oldest_and_the_newest_kubernetes_are_tried():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "e2e.yaml").read_text())
    nodes = workflow["jobs"]["kind"]["strategy"]["matrix"]["node"]
    assert [re.match(r"kindest/node:v(\d+\.\d+)\.\d+@sha256:[0-9a-f]{64}", node)[1] for node in nodes] == [
        OLDEST,
        NEWEST,
    ]


def test_the_versions_that_a_release_checks_are_the_same_now():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    chart = (ROOT / "helm" / "Chart.yaml").read_text().splitlines()
    assert {f"version: {version}", f'appVersion: "{version}"'} <= set(chart)


def test_zizmor_finds_nothing():
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--quiet", ROOT / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing():
    done = subprocess.run([tool("actionlint"), *WORKFLOWS], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
