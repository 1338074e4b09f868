"""The Lua verbs: each file is a script of its own, with what is shared put before it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

LUA_DIRECTORY: Final = Path(__file__).parent / "lua"
SHARED: Final = ("bytes.lua", "library.lua", "endings.lua")


@cache
def load(verb: str, directory: Path = LUA_DIRECTORY) -> str:
    """Return the script of a verb: its `#!lua` line with the flags, the shared parts, then the verb itself.

    Beside the parts for all verbs (`SHARED`) a directory may have some for its own, in `shared/`.

    Raises:
        FileNotFoundError: if the directory has no such verb.
    """
    flags, _, text = (directory / f"{verb}.lua").read_text(encoding="utf-8").partition("\n")
    shared = (*(LUA_DIRECTORY / name for name in SHARED), *sorted((directory / "shared").glob("*.lua")))
    return "\n".join((flags, *(path.read_text(encoding="utf-8") for path in shared), text))
