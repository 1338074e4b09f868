"""Scripts hold what they use of the shared Lua, and nothing else of it."""

from __future__ import annotations

import re

import pytest

from api.queue.queue import LUA_DIRECTORY
from runner import scripts

VERBS = [
    (path.stem, path.parent)
    for directory in (LUA_DIRECTORY, scripts.LUA_DIRECTORY)
    for path in sorted(directory.glob("*.lua"))
    if path.name not in scripts.SHARED
]
DEFINED = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
CALLED = re.compile(r"(?<![\w.:])([a-z_]\w*)\(")
LUA = {
    "ipairs",
    "pcall",
    "pairs",
    "tonumber",
    "tostring",
    "unpack",
    "next",
    "type",
    "function",
    "if",
    "and",
    "or",
    "not",
    "return",
    "select",
}


@pytest.mark.parametrize(("verb", "directory"), VERBS)
def test_a_script_defines_all_that_it_calls(verb, directory):
    text = re.sub(r"--.*", "", scripts.load(verb, directory))
    text = re.sub(r"'[^']*'", "''", text)
    local = set(re.findall(r"local function (\w+)", text)) | set(re.findall(r"local (\w+) = function", text))
    assert set(CALLED.findall(text)) - LUA <= local


def test_a_script_leaves_out_what_it_does_not_use():
    probe = scripts.load("probe", LUA_DIRECTORY)
    assert DEFINED.findall(probe) == ["key"]
    assert probe.startswith("#!lua")


def test_a_definition_brings_those_that_it_uses():
    one = "local A = 1\nlocal function one()\n  return A\nend\n"
    shared = f"{one}local function two()\n  return one()\nend\n-- two\nlocal B = 2\n"
    assert DEFINED.findall(scripts._used(shared, "return two()")) == ["A", "one", "two"]
    assert scripts._used(shared, "-- two is not used here\nreturn 1") == ""
