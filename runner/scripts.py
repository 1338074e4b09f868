"""The Lua verbs: each file is a script of its own, with the shared library put before it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

LUA_DIRECTORY: Final = Path(__file__).parent / "lua"


@cache
def load(verb: str, directory: Path = LUA_DIRECTORY) -> str:
    """Return the script of a verb: its `#!lua` line with the flags, the library, then the verb itself.

    Raises:
        FileNotFoundError: if the directory has no such verb.
    """
    flags, _, text = (directory / f"{verb}.lua").read_text(encoding="utf-8").partition("\n")
    library = (LUA_DIRECTORY / "library.lua").read_text(encoding="utf-8")
    return f"{flags}\n{library}\n{text}"
