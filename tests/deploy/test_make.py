"""`make`: the list of its targets, and the Python that .venv is made with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.deploy.rendering import ROOT

# What stands for Python here: it says which version it is by its name, and makes a .venv of itself.
PYTHON = """#!/bin/sh
version=$(sed -n 's/^# //p' "$0")
case "$*" in
  *'%d.%d'*) echo "$version" ;;
  *'sys.version_info[:2]'*) echo "$version" ;;
  '-c import sys; sys.exit'*) [ "$version" != 3.10 ] ;;
  '-m venv .venv') mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *'pip install'*--require-hashes*) [ ! -e fails ] || { echo 'no network' >&2; exit 1; } ;;
esac
"""


@pytest.fixture
def place(tmp_path):
    """A directory with the Makefile, and beside it a PATH with three Pythons."""
    for name in ("Makefile", "scripts/venv.sh", "requirements/service.lock", "pyproject.toml", "client/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for version in ("3.10", "3.11", "3.14"):
        python = tmp_path / "bin" / f"python{version}"
        python.write_text(PYTHON.replace("#!/bin/sh\n", f"#!/bin/sh\n# {version}\n"))
        python.chmod(0o755)
    return tmp_path


def make(place, *arguments):
    path = f"{place / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        ["make", *arguments], cwd=place, env={"PATH": path}, capture_output=True, text=True, check=False
    )


def made_with(place):
    return re.search(r"^# (.*)$", (place / ".venv" / "bin" / "python").read_text(), re.MULTILINE)[1]


def test_make_lists_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (help .*)$", text, re.MULTILINE)[1].split()
    assert "e2e" in targets
    # As from a shell: beneath another make it would say which directory it enters.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    listed = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in listed.splitlines()] == [
        line.partition(":")[0] for line in text.splitlines() if " ## " in line and "sed" not in line
    ]
    assert {line.split()[1] for line in listed.splitlines()} == set(targets)
    assert all(re.match(r"make [a-z0-9-]+ +\S", line) for line in listed.splitlines())


def test_the_first_make_says_what_it_does_while_it_installs(place):
    done = make(place, "venv")
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == "Making .venv with Python 3.14. Nothing is installed outside of it."
    assert re.fullmatch(
        r"Installing \d\d packages of requirements/service\.lock into \.venv: .* about a minute\.", second
    )
    assert third == "Installing Taskpost itself into .venv."
    assert make(place, "venv").stdout.strip() in {"", "make: Nothing to be done for 'venv'."}


def test_the_newest_python_is_taken_unless_another_is_named(place):
    assert make(place, "venv").returncode == 0
    assert made_with(place) == "3.14"
    assert make(place, "venv", "PYTHON=python3.11").returncode == 0
    assert made_with(place) == "3.11"  # made anew, although one was there and nothing else had changed
    assert "Making" not in make(place, "venv", "PYTHON=python3.11").stdout
    assert make(place, "venv").returncode == 0
    assert made_with(place) == "3.11"  # one that is there is good enough for who names none


def test_a_python_that_is_too_old_or_not_there_is_refused_by_its_name(place):
    for name in ("python3.10", "python3.99"):
        done = make(place, "venv", f"PYTHON={name}")
        assert done.returncode != 0
        assert f"PYTHON is '{name}', which is not Python 3.11 or later" in done.stderr
        assert not (place / ".venv").exists()


def test_an_installation_that_fails_says_why_and_is_begun_again(place):
    (place / "fails").touch()
    done = make(place, "venv")
    assert done.returncode != 0
    assert "no network" in done.stderr
    (place / "fails").unlink()
    assert "Installing" in make(place, "venv").stdout
