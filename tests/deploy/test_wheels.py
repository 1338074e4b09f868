"""The wheels: what they say of themselves, and what is there once they are installed."""

from __future__ import annotations

import email
import re
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.deploy.test_images import project
from tests.support.fresh import install

if TYPE_CHECKING:
    from email.message import Message

    from tests.support.fresh import Fresh

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"taskpost": "client", "taskpost-service": "."}


def told(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (found,) = (entry for entry in archive.namelist() if re.fullmatch(rf"[^/]+\.dist-info/{name}", entry))
        return archive.read(found).decode()


def metadata(wheel: Path) -> Message:
    return email.message_from_string(told(wheel, "METADATA"))


def run(fresh: Fresh, *command: str) -> str:
    done = subprocess.run(
        command,
        env=fresh.environment(),
        cwd=fresh.home,  # what lies in the directory that Python starts in could be imported
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_has_its_licence_its_readme_and_where_it_is_from(name: str, wheels: dict[str, Path]) -> None:
    found = metadata(wheels[name])
    assert found["License-Expression"] == "Apache-2.0"
    assert told(wheels[name], "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload() == (ROOT / DISTRIBUTIONS[name] / "README.md").read_text()
    urls = dict(url.split(", ") for url in found.get_all("Project-URL", []))
    assert set(urls) == {"Source", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(urls["Source"]) for url in urls.values())


def test_both_wheels_are_from_the_same_place_and_of_the_same_version() -> None:
    service, client = project(), project("client")
    assert service["urls"]["Source"] == client["urls"]["Source"]
    sources = yaml.safe_load((ROOT / "helm" / "Chart.yaml").read_text()).get("sources", [])
    assert all(url == client["urls"]["Source"] for url in sources)
    assert service["version"] == client["version"]
    assert f"taskpost=={client['version']}" in service["optional-dependencies"]["service"]


def test_where_the_pages_are_that_the_wheels_name() -> None:
    for directory in DISTRIBUTIONS.values():
        urls = project(directory)["urls"]
        for url in (urls["Documentation"], urls["Changelog"]):
            path = re.sub(r"^/(blob|tree)/main/", "", url.removeprefix(urls["Source"]))
            assert (ROOT / path).exists(), url


def test_the_client_is_typed_and_alone(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["taskpost"]) as archive:
        names = archive.namelist()
    assert "taskpost/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"taskpost"}


def test_what_authors_of_task_types_import_is_typed(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["taskpost-service"]) as archive:
        assert "runner/py.typed" in archive.namelist()


def test_the_service_brings_the_command(fresh: Fresh, wheels: dict[str, Path]) -> None:
    version = metadata(wheels["taskpost"])["Version"]
    assert version in run(fresh, "taskpost", "--version")
    helped = run(fresh, "taskpost", "--help")
    for verb in ("submit", "serve", "demo"):
        assert re.search(rf"^ +{verb} ", helped, re.MULTILINE)
    assert str(fresh.bin.parent) in run(fresh, "python", "-c", "import taskpost; print(taskpost.__file__)")


def test_the_client_needs_nothing_of_the_service(wheels: dict[str, Path], tmp_path: Path) -> None:
    alone = install(wheels["taskpost"].parent, tmp_path, "taskpost")
    assert "submit" in run(alone, "taskpost", "--help")
    code = (
        "import importlib.util as u, taskpost; print(taskpost.Client().url, u.find_spec('api'), u.find_spec('runner'))"
    )
    assert run(alone, "python", "-c", code).split() == ["http://127.0.0.1:8000", "None", "None"]
