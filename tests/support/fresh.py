"""An environment of somebody who installs our wheels: it has nothing of this repository but what they bring."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
OURS = ("taskpost", "_editable_impl_taskpost", "a1_coverage", "distutils-precedence", "__pycache__")


class Fresh(NamedTuple):
    """A virtual environment, and a home with nothing in it."""

    bin: Path
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of somebody who works in it."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **more}


def build_wheels(directory: Path) -> dict[str, Path]:
    """Build our two wheels, and return them by the names of their distributions."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", directory, ROOT, ROOT / "client"], check=True)
    return {path.name.split("-")[0].replace("_", "-"): path for path in directory.glob("*.whl")}


def install(wheels: Path, directory: Path, requirement: str) -> Fresh:
    """Make an environment and install a requirement in it from our wheels, by the rules of pip.

    What others wrote is taken from the environment that the tests run in: there is no network here.
    """
    others, environment, home = directory / "others", directory / "venv", directory / "home"
    others.mkdir()
    home.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(OURS):
            (others / entry.name).symlink_to(entry)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "others.pth").write_text(f"{others}\n")
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--find-links", wheels, requirement], check=True)
    return Fresh(environment / "bin", home)
