"""Clients that others generate from the OpenAPI document compile in strict mode, and work with the service."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "generated_clients"
PACKAGES = ("package.json", "package-lock.json")
LONGEST_SECONDS = 300.0


@pytest.fixture
def document(service, tmp_path):
    path = tmp_path / "openapi.json"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{service.url}/openapi.json") as answer:
        path.write_bytes(answer.read())
    return path


@pytest.fixture(scope="session")
def node_modules():
    """The npm packages of the lock: installed once for each content of it, beside no other file of ours."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not on this machine")
    lock = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in PACKAGES)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskpost-tests"
    place = cache / f"node-{lock}"
    if not (place / "node_modules").is_dir():
        making = cache / f"node-{lock}-{os.getpid()}"
        making.mkdir(parents=True)
        for name in PACKAGES:
            shutil.copy(SOURCES / name, making)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
        installed = subprocess.run(
            npm, cwd=making, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
        )
        if installed.returncode != 0:
            shutil.rmtree(making)
            pytest.skip(f"npm cannot install openapi-typescript here: {installed.stderr.strip()[-300:]}")
        with suppress(OSError):  # another run was first
            making.rename(place)
        shutil.rmtree(making, ignore_errors=True)
    return place / "node_modules"


def run(*command, cwd, **environment):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_a_python_client_is_strictly_typed_and_works(service, document, tmp_path):
    pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed: make venv-dev")
    generate = [sys.executable, "-P", "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    config = SOURCES / "openapi-python-client.yaml"
    run(*generate, "--path", document, "--config", config, "--output-path", tmp_path / "taskpost_api", cwd=tmp_path)
    shutil.copy(SOURCES / "use.py", tmp_path)
    mypy = [sys.executable, "-P", "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", tmp_path / "cache"]
    run(*mypy, "-p", "taskpost_api", "-m", "use", cwd=tmp_path)
    run(sys.executable, "-W", "error", "use.py", service.url, cwd=tmp_path)


@pytest.mark.timeout(600)
def test_a_typescript_client_is_strictly_typed_and_works(service, document, node_modules, tmp_path):
    for name in ("use.ts", "tsconfig.json", "package.json"):
        shutil.copy(SOURCES / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(node_modules)
    run("node_modules/.bin/openapi-typescript", document, "--output", "schema.ts", cwd=tmp_path)
    run("node_modules/.bin/tsc", cwd=tmp_path)
    run("node", "use.js", service.url, cwd=tmp_path)
