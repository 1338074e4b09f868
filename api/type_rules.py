"""The rules for an entry of the file of task types, beyond its form. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.nearest import VERY_ALIKE, nearest, suggestion
from api.text import visible
from runner.contract import Env, ErrorCode
from runner.tasks.registry import MAX_TIMEOUT_SECONDS, NAME, NAME_RULE, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from api.strict_yaml import Path
    from api.type_entry import TypeEntry

Found = tuple["Path", str]
"""Where in the entry, and what is wrong there."""

MAX_WORD_BYTES: Final = 128 * 1024 - 1
"""The longest argument or variable that Linux passes to a process."""
MAX_IMAGE_CHARACTERS: Final = 1000
MAX_SHOWN_CHARACTERS: Final = 100
_NUL: Final = "\0"
"""What ends a text for the operating system: a process that is given one is never started."""
_OURS: Final = frozenset(str(name) for name in Env)
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_CODES: Final = frozenset(map(str, ErrorCode))
_NEVER_RETRIED: Final = frozenset({ErrorCode.CANCELLED, ErrorCode.INPUT_INVALID, ErrorCode.TYPE_REMOVED})
_RETRIED: Final = _CODES - _NEVER_RETRIED
_HOST: Final = r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
_PATH: Final = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    rf"(({_HOST}|\[[0-9a-fA-F:]+\])(:[0-9]+)?/)?{_PATH}(/{_PATH})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64}|@sha512:[0-9a-f]{128})?"
)
"""The names of images as container runtimes take them."""


def entry_faults(
    name: str, entry: TypeEntry, given: Collection[str], unasked: str = "", *, known: Collection[str]
) -> Iterator[Found]:
    """Yield what is wrong with an entry. `given` are the members it has, some of them perhaps in a wrong form.

    `known` are the types that the service knows without the file; `unasked` says why its code could not be asked.
    """
    if not NAME.fullmatch(name):
        meant = re.sub(r"[^a-z0-9_.-]+", "-", name[:63].casefold()).strip("-_.")
        hint = f"; did you mean {meant}?" if NAME.fullmatch(meant) else ""
        yield (), f"{name!r} is not a valid name for a task type: {NAME_RULE}{hint}"
    if name not in known:
        yield from _unknown_faults(name, entry, given, unasked, known)
    if entry.enabled:
        yield from _kind_faults(entry, given)
    if entry.python is not None and not REFERENCE.fullmatch(entry.python):
        meant = ":".join(entry.python.rsplit(".", 1))
        hint = f"; did you mean {meant}?" if REFERENCE.fullmatch(meant) else ", e.g. acme.tasks:word_count"
        yield ("python",), f"expected module:function{hint}"
    if entry.image is not None and not is_image(entry.image):
        yield (
            ("image",),
            f"{entry.image[:MAX_SHOWN_CHARACTERS]!r} is not the name of an image: {_image_hint(entry.image)}",
        )
    for index, code in enumerate(entry.retry_on):
        if why := _code_fault(code, is_program=entry.command is not None):
            yield ("retry_on", index), why
    yield from _command_faults(entry.command)
    yield from _env_faults(entry)
    longest = entry.max_timeout_seconds or MAX_TIMEOUT_SECONDS
    if entry.timeout_seconds is not None and entry.timeout_seconds > longest:
        yield ("timeout_seconds",), f"more than max_timeout_seconds, which is {longest:g}"


def is_image(name: str) -> bool:
    """Whether a container runtime takes this for the name of an image."""
    return len(name) <= MAX_IMAGE_CHARACTERS and _IMAGE.fullmatch(name) is not None


def _image_hint(image: str) -> str:
    meant = re.sub(r"[^a-z0-9._/:@-]+", "-", image[:MAX_IMAGE_CHARACTERS].strip().casefold()).strip("-._/:@")
    return f"did you mean {meant}?" if is_image(meant) else "expected [host/]name[:tag][@digest]"


def _unknown_faults(
    name: str, entry: TypeEntry, given: Collection[str], unasked: str, known: Collection[str]
) -> Iterator[Found]:
    """What a type lacks that only the file can define. One without all of it may be a misspelt name."""
    runs = {"python", "command"} & set(given)
    near = None if runs or "input_schema" in given else nearest(name, known)
    if near is not None:
        yield (), f"a new task type needs `python` or `command`, and this one has neither; did you mean {near}?"
        return
    if entry.enabled and not runs:
        yield (), "a new task type needs `python` (its function) or `command` (what its image runs)"
    if entry.enabled and "input_schema" not in given:
        unread = f", unless its code can be read: {unasked}. TASKPOST_TASK_PATH names its directory" if unasked else ""
        yield ("input_schema",), f"a new task type needs it{unread}"


def _kind_faults(entry: TypeEntry, given: Collection[str]) -> Iterator[Found]:
    """What is wrong with what a type runs."""
    if entry.command is not None and entry.python is not None:
        yield (), "`python` and `command` are both given: a task type has one of them"
    if entry.command is not None and "image" not in given:
        yield ("image",), "`command` needs the image in which it runs"
    if entry.egress and "command" not in given:
        yield ("egress",), "only types with `command` have a network of their own"


def _code_fault(code: str, *, is_program: bool) -> str | None:
    """Return why a code is never tried again, or None. A type may have its own codes, which the file cannot know."""
    shown = visible(repr(code[:MAX_SHOWN_CHARACTERS]))
    if code in _RETRIED:
        return None
    if code in _NEVER_RETRIED:
        return f"{shown} is never tried again; allowed: {', '.join(sorted(_RETRIED))}"
    if not _CODE.fullmatch(code):
        return f"{shown} is not an error code; {suggestion(code, _RETRIED)}"
    if is_program:
        return f"{shown} is not an error code, and a program has none of its own; {suggestion(code, _RETRIED)}"
    near = nearest(code, _CODES, VERY_ALIKE)
    if near is None:
        return None
    hint = f"did you mean {near}?" if near in _RETRIED else f"{near} is never tried again"
    return f"{shown} is not an error code of Taskpost, but nearly one; {hint}"


def _command_faults(command: list[str] | None) -> Iterator[Found]:
    if command is None:
        return
    if not command[0]:
        yield ("command",), "its first word is the program, and empty"
    if any(_NUL in word for word in command):
        yield ("command",), "no word of it may have the character NUL"
    if any(len(word.encode()) > MAX_WORD_BYTES for word in command):
        yield ("command",), f"no word of it may have more than {MAX_WORD_BYTES} bytes"


def _env_faults(entry: TypeEntry) -> Iterator[Found]:
    for name, text in entry.env.items():
        if not name or "=" in name or _NUL in name + text:
            shown = visible(name[:MAX_SHOWN_CHARACTERS])
            rule = "its name must not be empty or contain '=', and neither name nor value may contain NUL"
            yield ("env",), f"{shown} is not a valid environment variable: {rule}"
        elif len(f"{name}={text}".encode()) > MAX_WORD_BYTES:
            shown = visible(name[:MAX_SHOWN_CHARACTERS])
            yield ("env",), f"{shown} is longer than the {MAX_WORD_BYTES} bytes that a process can be given"
    ours = sorted(_OURS & entry.env.keys())
    if ours:
        yield ("env",), f"{', '.join(ours)} are the runner's own"
