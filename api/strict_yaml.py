"""YAML limited to the values of JSON: everything else is refused, with its place. Pure.

YAML reads dates, binary data, sets, keys that are numbers, NaN, and values that contain themselves. None of them can be
put into a Job, an environment or an answer, and each would be noticed there only when a task is started.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from api.text import visible
from api.web.strict_json import MAX_INTEGER_DIGITS
from runner.contract import MAX_JSON_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class StrictYamlError(ValueError):
    """The text is not YAML, or has what JSON does not have: a message for each fault, which begins with its place."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def parse(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a YAML document: objects with names that are text, lists, text, finite numbers, null.

    Raises:
        StrictYamlError: if it is something else, or too large.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _Check(loader).run(root)
            return loader.construct_document(root)
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


class _Check:
    """Walks a document as it is once its aliases are followed, within bounds: few lines can stand for billions."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._values = 0
        self._characters = 0
        self._faults: list[str] = []

    def run(self, root: yaml.Node) -> None:
        open_: list[tuple[tuple[str | int, ...], yaml.Node]] = [((), root)]
        while open_:
            path, node = open_.pop()
            if len(path) > MAX_JSON_DEPTH:
                raise StrictYamlError(
                    f"{place(*path[:5])}: nested more than {MAX_JSON_DEPTH} levels deep, or in itself"
                )
            self._count(node)
            open_ += reversed(list(self._inner(path, node)))
        if self._faults:
            raise StrictYamlError(*self._faults)

    def _wrong(self, path: tuple[str | int, ...], what: str) -> None:
        self._faults.append(f"{place(*path)}: {what}")

    def _count(self, node: yaml.Node) -> None:
        self._values += 1
        self._characters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        if self._values > MAX_VALUES or self._characters > MAX_BYTES:
            raise StrictYamlError(
                f"larger than {MAX_VALUES} values or {MAX_BYTES} characters, with aliases as what they stand for"
            )

    def _inner(self, path: tuple[str | int, ...], node: yaml.Node) -> Iterator[tuple[tuple[str | int, ...], yaml.Node]]:
        kind = node.tag.removeprefix(_PREFIX)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            yield from (((*path, index), item) for index, item in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode) and kind == "map":
            for key, value in node.value:
                yield (*path, self._name(path, key)), value
        elif isinstance(node, yaml.ScalarNode) and kind in _JSON:
            self._scalar(path, node)
        else:
            what = _OTHER.get(kind, f"of the type {node.tag}")
            shown = f"{node.value} is {what}" if isinstance(node, yaml.ScalarNode) else f"this is {what}"
            self._wrong(path, f"{visible(shown[:200])}, which JSON does not have: write text, in quotes")

    def _name(self, path: tuple[str | int, ...], key: yaml.Node) -> str:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in {_TEXT, _MERGE}:
            shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or a map"
            self._wrong(path, f"the name {visible(str(shown)[:200])!r} is not text: write it in quotes")
            return str(shown)
        self._count(key)
        self._scalar((*path, key.value), key)
        return str(key.value)

    def _scalar(self, path: tuple[str | int, ...], node: yaml.ScalarNode) -> None:
        if node.tag == _MERGE:
            return
        try:
            value = self._loader.construct_object(node)
        except (ValueError, KeyError, OverflowError):
            value = node
        shown = visible(node.value[:200])
        if value is node or (isinstance(value, float) and not math.isfinite(value)) or _is_large(value):
            rule = f"numbers are finite, of at most {MAX_INTEGER_DIGITS} digits"
            self._wrong(path, f"{shown} is not a value of JSON: {rule}")
        if isinstance(value, str) and _SURROGATE.search(value):
            self._wrong(path, f"{shown} has a lone surrogate, which is not a character")


def _is_large(value: object) -> bool:
    return isinstance(value, int) and abs(value) >= _TOO_LARGE


_TOO_LARGE: Final = 10**MAX_INTEGER_DIGITS
