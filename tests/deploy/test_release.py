"""What a release is made of, made here: versions that agree, wheels, SBOMs, the chart and install.yaml."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.deploy.rendering import ROOT, tool

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
REGISTRY = "ghcr.io/acme"
NAMED_IN = (
    "pyproject.toml", "client/pyproject.toml", "helm/Chart.yaml", "Dockerfile.api", "Dockerfile.runner",
    "docs/kubernetes.md", "manifests/install.yaml", "manifests/secrets.sh",
)  # fmt: skip


def run(*command, root=ROOT, **environment):
    return subprocess.run(list(map(str, command)), cwd=root, capture_output=True, text=True, check=False, **environment)


@pytest.fixture
def tree(tmp_path):
    """A copy of the files that name the version."""
    for name in (*NAMED_IN, "CHANGELOG.md", "scripts/versions.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def check(tree, *arguments):
    return run(sys.executable, "scripts/versions.py", *arguments, root=tree)


def test_everything_that_names_the_version_names_the_same_one():
    done = check(ROOT, VERSION)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_other_file_names_the_version():
    found = run("git", "grep", "-lwF", VERSION, "--", ".", ":!*.lock", ":!*/go.sum", ":!*/go.mod").stdout.split()
    assert set(NAMED_IN) <= set(found)
    told = (
        "CHANGELOG.md",
        "api/web/examples.py",
        "manifests/base/",
        "tests/",
    )  # of the past, an example, rendered, tests
    assert [name for name in found if name not in NAMED_IN and not name.startswith(told)] == []


@pytest.mark.parametrize("name", NAMED_IN)
def test_one_file_with_another_version_stops_a_release(tree, name):
    text = (tree / name).read_text()
    assert VERSION in text
    (tree / name).write_text(text.replace(VERSION, "9.9.9", 1))
    done = check(tree, VERSION)
    assert done.returncode == 1
    assert f"{name} has 9.9.9, not {VERSION}" in done.stderr


def test_a_release_has_a_section_in_the_changelog(tree):
    done = check(tree, VERSION, "--release")
    assert done.returncode == 1
    assert f"CHANGELOG.md has no section [{VERSION}]" in done.stderr
    text = (tree / "CHANGELOG.md").read_text()
    (tree / "CHANGELOG.md").write_text(text.replace("## [Unreleased]", f"## [{VERSION}] - 2026-12-01"))
    assert check(tree, VERSION, "--release").returncode == 0


@pytest.mark.parametrize("tag", ["v1.2.3", "1.2", "1.2.3-rc.1", "", "main"])
def test_a_tag_that_is_no_version_is_refused(tag):
    done = check(ROOT, tag)
    assert done.returncode == 1
    assert "is not a version of Taskpost" in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = f"{Path(tool('helm')).parent}{os.pathsep}{os.environ['PATH']}"
    directory = tmp_path_factory.mktemp("release") / "dist"
    done = run("scripts/release.sh", VERSION, REGISTRY, directory, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_a_release_is_these_files_and_their_checksums(made):
    wheels = {f"taskpost_service-{VERSION}-py3-none-any.whl", f"taskpost-{VERSION}-py3-none-any.whl"}
    files = {*wheels, f"taskpost-{VERSION}.tgz", "install.yaml", "taskpost-service.cdx.json", "taskpost.cdx.json"}
    assert {path.name for path in made.iterdir()} == {*files, "SHA256SUMS"}
    sums = dict(line.split("  ")[::-1] for line in (made / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256((made / name).read_bytes()).hexdigest() for name in files}


def test_the_wheels_have_their_code_and_version(made):
    for name, module in (("taskpost_service", "api/app.py"), ("taskpost", "taskpost/client.py")):
        with zipfile.ZipFile(made / f"{name}-{VERSION}-py3-none-any.whl") as wheel:
            assert module in wheel.namelist()
            metadata = wheel.read(f"{name}-{VERSION}.dist-info/METADATA").decode()
        assert f"\nVersion: {VERSION}\n" in metadata
    with zipfile.ZipFile(made / f"taskpost_service-{VERSION}-py3-none-any.whl") as wheel:
        assert {name for name in wheel.namelist() if name.endswith("submit.lua")} == {"api/queue/lua/submit.lua"}


def test_the_chart_of_a_release_pulls_its_images(made):
    rendered = run(tool("helm"), "template", "taskpost", made / f"taskpost-{VERSION}.tgz").stdout
    assert {f"{REGISTRY}/taskpost-api:{VERSION}", f"{REGISTRY}/taskpost-runner:{VERSION}"} <= set(
        re.findall(r"[\w./]*taskpost-(?:api|runner):[\w.]+", rendered)
    )
    assert not re.search(r"[\s\"]taskpost-(?:api|runner):", rendered)
    with tarfile.open(made / f"taskpost-{VERSION}.tgz") as chart:
        assert "taskpost/values.schema.json" in chart.getnames()


def test_the_manifest_of_a_release_pulls_its_images_and_differs_in_nothing_else(made):
    text = (made / "install.yaml").read_text()
    ours = (ROOT / "manifests" / "install.yaml").read_text()
    assert text.replace(f"{REGISTRY}/", "") == ours
    assert text.count(f"{REGISTRY}/taskpost-") == len(re.findall(r"\btaskpost-(?:api|runner):", ours)) >= 2
    assert list(yaml.safe_load_all(text))


@pytest.mark.parametrize(
    ("name", "needed"), [("taskpost-service", {"fastapi", "redis"}), ("taskpost", {"httpx", "rich"})]
)
def test_an_sbom_names_all_that_is_installed_with_a_wheel(made, name, needed):
    sbom = json.loads((made / f"{name}.cdx.json").read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert (sbom["metadata"]["component"]["name"], sbom["metadata"]["component"]["version"]) == (name, VERSION)
    components = {one["name"]: one["version"] for one in sbom["components"]}
    assert needed <= components.keys()
    assert name not in components
    locked = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / "service.lock").read_text(), re.MULTILINE)
    )
    assert {one: version for one, version in components.items() if one != "taskpost"}.items() <= locked.items()
    references = {one["bom-ref"] for one in (*sbom["components"], sbom["metadata"]["component"])}
    assert {one["ref"] for one in sbom["dependencies"]} == references
    assert {other for one in sbom["dependencies"] for other in one["dependsOn"]} <= references


def test_files_of_another_release_are_not_published_with_this_one(tmp_path):
    (tmp_path / "old.whl").touch()
    done = run("scripts/release.sh", VERSION, REGISTRY, tmp_path)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert [path.name for path in Path(tmp_path).iterdir()] == ["old.whl"]


def test_a_release_of_another_version_is_not_made(tmp_path):
    done = run("scripts/release.sh", "9.9.9", REGISTRY, tmp_path / "dist")
    assert done.returncode == 1
    assert "pyproject.toml has" in done.stderr
