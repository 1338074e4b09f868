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
PINNED = re.compile(r"uses: (?:[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\.github/workflows/\w+\.yaml +# zizmor: .+)")
WRITES = {"images": {"packages"}, "publish": {"packages", "id-token", "attestations"}, "release": {"contents"}}
"""What the jobs of a release may write; all other jobs read."""


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def text(request):
    return request.param.read_text()


def test_there_are_those_for_tests_for_clusters_and_for_releases():
    assert [path.stem for path in WORKFLOWS] == ["ci", "e2e", "release"]


def test_every_action_is_pinned_to_a_commit_with_its_version(text):
    for line in re.findall(r".*uses:.*", text):
        assert PINNED.fullmatch(line.strip().removeprefix("- ")), line


def test_nothing_is_allowed_that_a_job_does_not_need_and_every_job_ends(text):
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        writes = {what for what, how in job["permissions"].items() if how == "write"}
        assert writes == (WRITES.get(name, set()) if workflow["name"] == "release" else set())
        assert job["permissions"]["contents"] == ("write" if "contents" in writes else "read")
        assert "uses" in job or job["timeout-minutes"] <= 60


def test_a_step_fails_where_any_command_of_a_pipeline_fails(text):
    workflow = yaml.safe_load(text)
    scripts = [step.get("run", "") for job in workflow["jobs"].values() for step in job.get("steps", [])]
    if any(re.search(r"[^|]\|[^|]", script) for script in scripts):
        # GitHub leaves `pipefail` out where no shell is named.
        assert workflow["defaults"]["run"]["shell"] == "bash"


def workflow_of(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yaml").read_text())


def test_the_tests_run_with_every_python_that_we_support():
    job = workflow_of("ci")["jobs"]["test"]
    oldest = re.search(r'^requires-python = ">=3\.(\d+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    newest = re.search(r"python3\.(\d+)", (ROOT / "scripts" / "venv.sh").read_text().partition("candidates='")[2])[1]
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(oldest), int(newest) + 1)]
    # `make` takes the Python of the job for .venv, and a step looks at what it has become.
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"
    runs = [step.get("run", "") for step in job["steps"]]
    check = next(number for number, run in enumerate(runs) if '= "$PYTHON"' in run)
    assert runs.index("make venv-dev") < check < runs.index("make lint") < runs.index("make test")


@pytest.mark.parametrize("name", ["ci", "e2e"])
def test_tools_and_packages_are_cached_but_not_for_a_release(name):
    (job,) = workflow_of(name)["jobs"].values()
    caches = [step for step in job["steps"] if step.get("uses", "").startswith("actions/cache@")]
    assert [step["with"]["path"] for step in caches] == ["~/.cache/pip", "~/.local/share/taskpost-tools"]
    assert all(step["if"] == "github.ref_type != 'tag'" for step in caches)
    tools = caches[1]["with"]["key"]
    assert "scripts/tools.sh" in tools
    assert "tests/cluster/go/*/go.sum" in tools
    assert "$HOME/.local/share/taskpost-tools" in (ROOT / "scripts" / "tools.sh").read_text()


def needed_by(jobs, name):
    """The jobs that end well before this one begins."""
    needs = jobs[name].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*(needed_by(jobs, one) for one in direct))


def test_a_release_publishes_nothing_before_the_version_is_checked_and_all_tests_have_passed():
    jobs = workflow_of("release")["jobs"]
    assert jobs["test"]["uses"].endswith("/ci.yaml")
    assert jobs["e2e"]["uses"].endswith("/e2e.yaml")
    for name in WRITES:
        assert {"version", "test", "e2e"} <= needed_by(jobs, name), name
    assert {"images", "publish", "files"} <= needed_by(jobs, "release")


def test_a_release_has_images_chart_manifest_and_wheels_with_sbom_and_provenance():
    jobs = workflow_of("release")["jobs"]
    scripts = {name: "\n".join(step.get("run", "") for step in job.get("steps", [])) for name, job in jobs.items()}
    assert '--build-arg "VERSION=$version"' in scripts["images"]
    assert "--sbom=true --provenance=mode=max" in scripts["images"]
    assert "scripts/release.sh" in scripts["files"]
    assert "dist/*" in scripts["release"]
    attested = [step["with"] for step in jobs["publish"]["steps"] if step.get("uses", "").startswith("actions/attest@")]
    assert {one.get("subject-path") for one in attested if "sbom-path" not in one} == {None, "dist/*"}
    subjects = {one["subject-name"] for one in attested if "subject-name" in one}
    assert subjects == {
        f"${{{{ steps.{name} }}}}" for name in ("images.outputs.api", "images.outputs.runner", "chart.outputs.name")
    }
    sboms = {one["subject-path"]: one["sbom-path"] for one in attested if "sbom-path" in one}
    assert sboms == {
        "dist/taskpost_service-*.whl": "dist/taskpost-service.cdx.json",
        "dist/taskpost-*.whl": "dist/taskpost.cdx.json",
    }


def test_the_oldest_and_the_newest_kubernetes_are_tried():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "e2e.yaml").read_text())
    nodes = workflow["jobs"]["kind"]["strategy"]["matrix"]["node"]
    assert [re.match(r"kindest/node:v(\d+\.\d+)\.\d+@sha256:[0-9a-f]{64}", node)[1] for node in nodes] == [
        OLDEST,
        NEWEST,
    ]


def test_zizmor_finds_nothing():
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--quiet", ROOT / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing():
    done = subprocess.run([tool("actionlint"), *WORKFLOWS], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
