"""The Lua verbs: each file is a script of its own, with what it uses of the shared functions put before it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

LUA_DIRECTORY: Final = Path(__file__).parent / "lua"
SHARED: Final = ("bytes.lua", "metrics.lua", "library.lua", "endings.lua")
_DEFINITION: Final = re.compile(r"^local (?:function )?(\w+(?:, *\w+)*)", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)
_WORD: Final = re.compile(r"\w+")


@cache
def load(verb: str, directory: Path = LUA_DIRECTORY) -> str:
    """Return the script of a verb: its `#!lua` line with the flags, the shared parts, then the verb itself.

    Beside the parts for all verbs (`SHARED`) a directory may have some for its own, in `shared/`.

    Raises:
        FileNotFoundError: if the directory has no such verb.
    """
    flags, _, text = (directory / f"{verb}.lua").read_text(encoding="utf-8").partition("\n")
    shared = (*(LUA_DIRECTORY / name for name in SHARED), *sorted((directory / "shared").glob("*.lua")))
    parts = "\n".join(path.read_text(encoding="utf-8") for path in shared)
    return f"{flags}\n{_used(parts, text)}{text}"


def _used(shared: str, text: str) -> str:
    """Return the definitions of `shared` that `text` uses, directly or by another.

    Redis runs the whole script at each call, and would make every shared function at each: that costs more than most
    verbs do. A definition uses earlier ones only, so one pass from the last to the first finds all.
    """
    code = _COMMENT.sub("", shared)
    starts = [match.start() for match in _DEFINITION.finditer(code)]
    definitions = [code[start:end] for start, end in zip(starts, [*starts[1:], len(code)], strict=True)]
    words, used = set(_WORD.findall(_COMMENT.sub("", text))), []
    for definition in reversed(definitions):
        match = _DEFINITION.match(definition)
        if match is not None and words.intersection(re.split(r", *", match[1])):
            used.append(definition)
            words.update(_WORD.findall(definition))
    return "".join(reversed(used))
