"""YAML limited to the values of JSON: everything else is refused, with its place. Pure.

YAML reads dates, binary data, sets, keys that are numbers, NaN, and values that contain themselves. None of them can be
put into a Job, an environment or an answer, and each would be noticed there only when a task is started. YAML also
reads a name that is given twice, and forgets what the first one said.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from api.text import visible
from api.web.strict_json import MAX_INTEGER_DIGITS
from runner.contract import MAX_JSON_DEPTH

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_BYTES: Final = 1024 * 1024
"""As much as a ConfigMap holds. Aliases count as what they stand for."""
MAX_VALUES: Final = 20_000
"""The service reads the file while it answers requests; this many take a second or two."""

_PREFIX: Final = "tag:yaml.org,2002:"
_OTHER: Final = {"timestamp": "a date", "binary": "binary data", "set": "a set", "omap": "an ordered map"}
_JSON: Final = frozenset({"null", "bool", "int", "float", "str"})
_MERGE: Final = f"{_PREFIX}merge"
_TEXT: Final = f"{_PREFIX}str"
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

Path = tuple[str | int, ...]


class StrictYamlError(ValueError):
    """The text as a whole cannot be read: it is not YAML, or too large, or nested too deeply."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file: where, and what. `inner` leads on from a place that `what` speaks of."""

    path: Path
    what: str
    inner: Path = ()


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says. `value` is made of JSON's values; what has a fault is left out of it, or is there as text."""

    value: Any
    faults: list[Fault] = field(default_factory=list)
    lines: Mapping[Path, int] = field(default_factory=dict)
    """The line of each value, from 1."""
    replaced: Collection[Path] = frozenset()
    """Where `value` has something else than the text says: what is wrong there besides follows from that."""

    def line(self, path: Path) -> int | None:
        """Return the line of a value, or of the nearest one around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def parse(text: str) -> Document:
    """Read a YAML document, with all that JSON does not have in it.

    Raises:
        StrictYamlError: if it cannot be read at all.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return Document(None)
            reader = _Reader(loader)
            return Document(reader.value((), root), reader.faults, reader.lines, reader.replaced)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise StrictYamlError(f"not YAML in UTF-8: {visible(' '.join(str(error).split()))}") from None


def place(*steps: str | int) -> str:
    """Return the place of a value as people write it: `task_types.sleep.pod.env.0`."""
    return ".".join(visible(str(step)) for step in steps) or "the file"


class _Loader(yaml.SafeLoader):
    """Stops at a node that is too large or nested too deeply, before the rest is read, which could take seconds."""

    _depth = 0
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node, with all that is in it."""
        if self._depth > MAX_JSON_DEPTH + 1:
            raise StrictYamlError(f"nested more than {MAX_JSON_DEPTH} levels deep")
        self._nodes += 1
        if self._nodes > MAX_VALUES:
            raise StrictYamlError(f"more than {MAX_VALUES} values")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_EXPONENT: Final = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+")
"""A number to YAML 1.2 and to JSON, and how Helm writes 1000000; YAML 1.1 takes `1e+06` for text."""
_Loader.add_implicit_resolver(f"{_PREFIX}float", _EXPONENT, list("-+0123456789"))


class _Reader:
    """Makes values of nodes, following aliases within bounds: few lines can stand for billions of values."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._values = 0
        self._characters = 0
        self.faults: list[Fault] = []
        self.lines: dict[Path, int] = {}
        self.replaced: set[Path] = set()

    def value(self, path: Path, node: yaml.Node) -> Any:  # noqa: ANN401 - any JSON value
        """Return what a node and all beneath it stand for."""
        if len(path) > MAX_JSON_DEPTH:
            raise StrictYamlError(f"{place(*path[:5])}: nested more than {MAX_JSON_DEPTH} levels deep, or in itself")
        self._count(node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        kind = node.tag.removeprefix(_PREFIX)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(path, node, kind)
        if kind not in {"seq", "map"}:
            self._not_json(path, "this", kind, node.tag)
        if isinstance(node, yaml.SequenceNode):
            return [self.value((*path, index), item) for index, item in enumerate(node.value)]
        return self._mapping(path, node)

    def _mapping(self, path: Path, node: yaml.Node) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = self._name(path, key), key.start_mark.line + 1
            inner = (*path, name)
            self.lines.setdefault(inner, line)
            if name in lines and (key.tag == _TEXT or name == "<<"):
                self._wrong(inner, f"the name is given twice, in lines {lines[name]} and {line}")
                self.value(inner, value)
            elif key.tag == _MERGE:
                merged = self._merged(inner, value)
                lines[name] = line
            elif key.tag == _TEXT:
                lines[name] = line
                own[name] = self.value(inner, value)
            else:
                self.value(inner, value)
        return merged | own

    def _merged(self, path: Path, node: yaml.Node) -> dict[str, Any]:
        """Return what `<<` brings: of several maps, the first that has a name gives its value."""
        if isinstance(node, yaml.MappingNode):
            made: dict[str, Any] = self.value(path, node)
            return made
        result: dict[str, Any] = {}
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(path, "`<<` takes a map, or a list of maps")
            return result
        self._count(node)
        for index, item in enumerate(node.value):
            if isinstance(item, yaml.MappingNode):
                result = self.value((*path, index), item) | result
            else:
                self._wrong((*path, index), "`<<` takes a map, or a list of maps")
        return result

    def _name(self, path: Path, key: yaml.Node) -> str:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in {_TEXT, _MERGE}:
            shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or a map"
            what = f"the name {visible(str(shown)[:200])!r} is not text: write it in quotes"
            self.faults.append(Fault(path, what, inner=(str(shown),)))
            return str(shown)
        self._count(key)
        return self._text((*path, key.value), key.value)

    def _scalar(self, path: Path, node: yaml.ScalarNode, kind: str) -> Any:  # noqa: ANN401 - any JSON value
        shown = visible(node.value[:200])
        if kind in {"value", "merge"}:  # `=` and `<<`: YAML 1.1 has other uses for them, Helm writes them as text
            return node.value
        if kind not in _JSON:
            self._not_json(path, shown, kind, node.tag)
            return node.value
        try:
            value = self._loader.construct_object(node)
        except (ValueError, KeyError, OverflowError):
            value = math.nan
        if (isinstance(value, float) and not math.isfinite(value)) or _is_large(value):
            rule = f"numbers are finite, of at most {MAX_INTEGER_DIGITS} digits"
            self._replace(path, f"{shown} is not a value of JSON: {rule}")
            return node.value
        if kind in {"int", "float"} and ":" in node.value:
            self._replace(path, f"{shown} is {value:g} to YAML, which reads it in base 60: write it in quotes")
            return node.value
        if isinstance(value, float) and value.is_integer() and _EXPONENT.fullmatch(node.value):
            return int(value)
        return self._text(path, value) if isinstance(value, str) else value

    def _text(self, path: Path, text: str) -> str:
        if not _SURROGATE.search(text):
            return text
        self._replace(path, f"{visible(text[:200])} has a lone surrogate, which is not a character")
        return _SURROGATE.sub("?", text)

    def _wrong(self, path: Path, what: str) -> None:
        self.faults.append(Fault(path, what))

    def _replace(self, path: Path, what: str) -> None:
        self._wrong(path, what)
        self.replaced.add(path)

    def _not_json(self, path: Path, shown: str, kind: str, tag: str) -> None:
        what = _OTHER.get(kind, f"of the type {visible(tag)[:200]}")
        self._replace(path, f"{shown} is {what}, which JSON does not have: write text, in quotes")

    def _count(self, node: yaml.Node) -> None:
        self._values += 1
        self._characters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        if self._values > MAX_VALUES or self._characters > MAX_BYTES:
            raise StrictYamlError(
                f"larger than {MAX_VALUES} values or {MAX_BYTES} characters, with aliases as what they stand for"
            )


def _is_large(value: object) -> bool:
    return isinstance(value, int) and abs(value) >= _TOO_LARGE


_TOO_LARGE: Final = 10**MAX_INTEGER_DIGITS
