"""What can be said of the images, the locks and compose.yaml without a container runtime: checks of their text."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import ENV_PREFIX, Settings
from runner.contract import Env

ROOT = Path(__file__).parents[2]
DOCKERFILES = ("Dockerfile.api", "Dockerfile.runner")
LOCKS = ("runner.lock", "service.lock", "dev.lock")
LOCK_LINE = re.compile(
    r"(?P<name>[a-z0-9]+(-[a-z0-9]+)*)==(?P<version>[0-9][0-9A-Za-z.+!]*)( ; [^#@\\]+)? \\"
    r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
)
ELSEWHERE = re.compile(
    r"://|--(extra-)?index|--find-links|--trusted-host|PIP_(EXTRA_)?INDEX|PIP_FIND_LINKS|PIP_TRUSTED_HOST"
)
HEALTH_OPTIONS = re.compile(r"(--[a-z-]+=\S+ +)+CMD ")


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    def words(self) -> list[str]:
        return self.text.split()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def instructions(dockerfile: str) -> list[Instruction]:
    lines = [line for line in read(dockerfile).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r" *\\\n *", " ", "\n".join(lines))
    return [Instruction(name, text) for name, _, text in (line.partition(" ") for line in joined.splitlines())]


def final_stage(dockerfile: str) -> list[Instruction]:
    found = instructions(dockerfile)
    return found[max(index for index, one in enumerate(found) if one.name == "FROM") :]


def the(name: str, found: list[Instruction]) -> str:
    (text,) = (one.text for one in found if one.name == name)
    return text


def project(directory: str = ".") -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(read(f"{directory}/pyproject.toml"))["project"]
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~\[;]", requirement)[0]).lower() for requirement in requirements}


def locked(lock: str) -> dict[str, str]:
    found = (LOCK_LINE.fullmatch(line) for line in read(f"requirements/{lock}").splitlines())
    return {match["name"]: match["version"] for match in found if match and match["name"]}


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
class TestDockerfile:
    def test_every_stage_begins_from_the_image_that_can_be_chosen(self, dockerfile: str) -> None:
        found = instructions(dockerfile)
        assert found[0] == Instruction("ARG", "PYTHON_IMAGE=python:3.13-slim")
        assert [one.words()[0] for one in found if one.name == "FROM"] == ["${PYTHON_IMAGE}"] * 2

    def test_nothing_is_installed_but_what_is_hashed_or_ours(self, dockerfile: str) -> None:
        commands = [
            command
            for one in instructions(dockerfile)
            if one.name == "RUN"
            for command in one.text.split(" && ")
            if re.search(r"\bpip\b.* install ", command)
        ]
        assert "--require-hashes --requirement requirements/" in commands[0]
        for command in commands[1:]:
            assert "--no-deps --no-build-isolation . ./client" in command
        assert not re.search(r"\b(apt-get|apk|dnf|curl|wget)\b", read(dockerfile))

    def test_it_names_no_place_to_get_packages_from(self, dockerfile: str) -> None:
        assert not ELSEWHERE.search(read(dockerfile))

    def test_it_needs_no_shell_at_run_time(self, dockerfile: str) -> None:
        for one in final_stage(dockerfile):
            if one.name in {"ENTRYPOINT", "CMD", "RUN"}:
                assert isinstance(json.loads(one.text), list)
            if one.name == "HEALTHCHECK":
                assert isinstance(json.loads(HEALTH_OPTIONS.sub("", one.text)), list)

    def test_it_runs_as_nobody_in_particular(self, dockerfile: str) -> None:
        user, group = the("USER", final_stage(dockerfile)).split(":")
        assert int(user) > 0
        assert int(group) > 0

    def test_its_labels_are_true(self, dockerfile: str) -> None:
        found = final_stage(dockerfile)
        labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', the("LABEL", found)))
        assert labels["title"] == dockerfile.replace("Dockerfile.", "taskpost-")
        assert labels["licenses"] == project()["license"]
        assert labels["version"] == "${VERSION}"
        assert the("ARG", found) == f"VERSION={project()['version']}"

    def test_what_it_copies_is_in_the_context(self, dockerfile: str) -> None:
        given = {line.removeprefix("!") for line in read(".dockerignore").splitlines() if line.startswith("!")}
        copied = {one.words()[0] for one in instructions(dockerfile) if one.name == "COPY" and "--from" not in one.text}
        assert all(source == "." or source.split("/")[0] in given for source in copied)
        assert all((ROOT / source).exists() for source in given | copied)

    def test_it_ends_by_sigterm(self, dockerfile: str) -> None:
        assert the("STOPSIGNAL", final_stage(dockerfile)) == "SIGTERM"


def test_the_service_is_the_process_of_its_image() -> None:
    found = final_stage("Dockerfile.api")
    assert json.loads(the("ENTRYPOINT", found)) == ["taskpost"]
    assert json.loads(the("CMD", found)) == ["serve"]
    assert the("EXPOSE", found) == "8000"
    assert {"TASKPOST_BIND=0.0.0.0:8000", "TASKPOST_DATA_DIR=/data"} <= set(the("ENV", found).split())


def test_the_image_of_the_runner_has_nothing_of_the_service() -> None:
    assert json.loads(the("ENTRYPOINT", final_stage("Dockerfile.runner")))[-4:] == ["python", "-P", "-m", "runner"]
    copied = [one.words() for one in instructions("Dockerfile.runner") if one.name == "COPY"]
    assert [words[0] for words in copied[:-1]] == ["requirements/runner.lock", "runner"]
    assert copied[-1] == ["--from=build", "/opt/taskpost", "/opt/taskpost"]


def test_the_context_of_a_build_is_what_is_listed() -> None:
    patterns = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert patterns[0] == "*"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_versions_and_hashes_and_nothing_else(lock: str) -> None:
    lines = read(f"requirements/{lock}").splitlines()
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert line.endswith("\\") == following.startswith("    --hash="), line


def test_the_locks_cover_what_the_projects_ask_for() -> None:
    service, client = project(), project("client")
    build = [line for line in read("requirements/build.in").splitlines() if line]
    development = tomllib.loads(read("pyproject.toml"))["dependency-groups"]["dev"]
    base = names(service["dependencies"])
    extra = names(service["optional-dependencies"]["service"]) - {client["name"]}  # it is ours, and installed from here
    assert base <= locked("runner.lock").keys()
    assert base | extra | names(client["dependencies"]) | names(build) <= locked("service.lock").keys()
    assert names(development) <= locked("dev.lock").keys()


def test_the_runner_has_the_versions_of_the_service_and_nothing_of_its_own() -> None:
    runner, service, development = (locked(lock) for lock in LOCKS)
    only_service = names(project()["optional-dependencies"]["service"])
    of_image = names(project()["optional-dependencies"]["image"])
    assert of_image <= runner.keys()
    shared = {name: version for name, version in runner.items() if name not in of_image}
    assert shared.items() <= service.items() <= development.items()
    assert not runner.keys() & only_service


def test_the_scripts_name_no_place_to_get_packages_from() -> None:
    for path in (ROOT / "scripts").iterdir():
        assert not ELSEWHERE.search(path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("name", [*DOCKERFILES, "compose.yaml"])
def test_only_settings_that_there_are_are_named(name: str) -> None:
    known = {ENV_PREFIX + setting.upper() for setting in Settings.model_fields} | set(Env)
    assert set(re.findall(r"TASKPOST_[A-Z_]+", read(name))) <= known


def test_what_is_published_is_published_on_loopback_alone() -> None:
    published = [
        port
        for service in yaml.safe_load(read("compose.yaml"))["services"].values()
        for port in service.get("ports", [])
    ]
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *map(ROOT.joinpath, DOCKERFILES)):
        published += re.findall(r"(?:-p|--publish)[ =](\S+)", path.read_text(encoding="utf-8"))
    assert len(published) >= 4
    assert {port for port in published if not port.startswith("127.0.0.1:")} == set()


def test_compose_keeps_what_was_answered() -> None:
    services = yaml.safe_load(read("compose.yaml"))["services"]
    api, redis = services["api"], services["redis"]
    assert api["build"]["dockerfile"] in DOCKERFILES
    assert api["environment"]["TASKPOST_EXECUTOR"] == "local"
    assert api["environment"]["TASKPOST_REDIS_URL"] == "redis://redis:6379/0"
    assert api["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert redis["healthcheck"]["test"][0] == "CMD"
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert options == {
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",
        "--maxmemory-policy": "noeviction",
    }
    assert any(volume.endswith(":/data") for volume in redis["volumes"])
    for service in services.values():
        assert "." not in service["image"].partition("/")[0], "an image's name begins with no host"
