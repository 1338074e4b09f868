"""U01, U03: what is forbidden makes not one connection, in a network namespace of the test's own with no way out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMESPACE = ["unshare", "--user", "--map-root-user", "--net", "--mount"]


def is_possible():
    if not all(map(shutil.which, ("unshare", "ip", "mount"))):
        return False
    tried = [*NAMESPACE, "sh", "-c", "ip link set lo up && mount --bind /dev/null /etc/resolv.conf"]
    return subprocess.run(tried, check=False, capture_output=True, timeout=30).returncode == 0


@pytest.fixture(scope="module")
def seen():
    if not is_possible():
        pytest.skip("no network namespace can be made here (unshare, ip and mount, and the right to use them)")
    command = [*NAMESPACE, sys.executable, "-m", "tests.integration.forbidden"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=110, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_sixty_forbidden_urls_and_more_make_no_connection(seen):
    assert len(seen["found"]) >= 60
    assert seen["connections"] == []
    assert [url for url, blocked in seen["tried"].items() if not blocked] == []
    for url, fate in seen["found"].items():
        if fate[0].startswith("400"):
            assert "/result_url" in fate[0], url
        else:
            assert fate[0] == "blocked", (url, fate)
            assert [words.partition(":")[0] for words in fate[1:]] == ["runner", "service"], (url, fate)
            assert all("callbacks to" in words for words in fate[1:]), (url, fate)


def test_literal_addresses_are_refused_when_they_are_submitted(seen):
    names = [url for url, fate in seen["found"].items() if not fate[0].startswith("400")]
    assert all(".example" in url or "google" in url for url in names), names
    assert len(names) < 15


def test_u03_a_name_that_changes_its_address_is_judged_at_each_try(seen):
    first, *later = seen["rebinding"]
    assert first == "the receiver answered 500"
    assert any("never allowed" in words for words in later)
    assert {one.partition(":")[0] for one in seen["after"]} == {"10.1.1.1"}
