"""Estimates what it costs at most to check an input against its schema. Pure.

The library that checks holds the interpreter and cannot be interrupted. Mostly a check takes microseconds, but a client
can choose an input for which a schema is slow: `uniqueItems` compares integers beyond 64 bits each with each, `enum`
compares entry by entry unless all are of one simple kind, and a pattern costs its compiled size for each character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jsonschema_rs import RegexOptions, validator_for

from api.core.schema_rules import subschemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = Any

MOST_COMPARISONS: Final = 600_000
"""About 0.1 s: each takes 160 ns."""
MOST_PATTERN_STEPS: Final = 400_000_000
"""Bytes of the input times bytes of the compiled patterns; about 0.1 s."""
MOST_LONG_INTEGERS: Final = 300
"""Each is compared with each by `uniqueItems`, which takes 0.8 us for a pair."""
SLOW_ENTRY: Final = 4
"""Comparisons that an entry of an `enum` costs if the library cannot look it up."""
PATTERN_SIZES: Final = tuple(4096 << steps for steps in range(13))
"""Up to more than the library compiles."""
_LARGEST_WORD: Final = 2**63
_LONG_INTEGER: Final = re.compile(rb"\d{19}")
_SEVERAL: Final = frozenset(
    {"allOf", "anyOf", "contains", "dependencies", "dependentSchemas", "if", "not", "oneOf", "patternProperties"}
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a schema costs: comparisons for each value, bytes of its compiled patterns, whether it has `uniqueItems`.

    There are no comparisons to speak of (0) where no keyword applies several schemas to one value.
    """

    comparisons: int
    pattern_bytes: int
    has_unique_items: bool

    def is_high(self, task_input: bytes) -> bool:
        """Return whether the check of an input, given as JSON, could take longer than about 0.1 s."""
        size = len(task_input)
        if size * self.pattern_bytes > MOST_PATTERN_STEPS:
            return True
        if size * self.comparisons > MOST_COMPARISONS:
            values = sum(map(task_input.count, (b",", b"[", b"{")))
            if values * self.comparisons > MOST_COMPARISONS:
                return True
        return (
            self.has_unique_items
            and size > 19 * MOST_LONG_INTEGERS
            and len(_LONG_INTEGER.findall(task_input)) > MOST_LONG_INTEGERS
        )


def cost_of(schema: Mapping[str, Json]) -> Cost:
    """Return what a schema costs that can be compiled."""
    nodes = [node for _, node in subschemas(schema)]
    applied = len(nodes) if any(_SEVERAL & node.keys() for node in nodes) else 0
    return Cost(
        comparisons=applied + sum(map(_own_comparisons, nodes)),
        pattern_bytes=sum(map(_pattern_bytes, {pattern for node in nodes for pattern in _patterns(node)})),
        has_unique_items=any(node.get("uniqueItems") is True for node in nodes),
    )


def _own_comparisons(node: Mapping[str, Json]) -> int:
    entries = node.get("enum")
    slow = SLOW_ENTRY * len(entries) if isinstance(entries, list) and not _is_looked_up(entries) else 0
    needs = [node.get(keyword) for keyword in ("dependentRequired", "dependencies", "dependentSchemas")]
    factors = 2 * SLOW_ENTRY if "multipleOf" in node else 0
    return slow + factors + sum(len(names) for names in needs if isinstance(names, dict))


def _is_looked_up(entries: list[Json]) -> bool:
    return all(type(entry) is str for entry in entries) or all(
        type(entry) is int and abs(entry) < _LARGEST_WORD for entry in entries
    )


def _patterns(node: Mapping[str, Json]) -> Iterator[str]:
    named = node.get("patternProperties")
    for pattern in (node.get("pattern"), *(named if isinstance(named, dict) else ())):
        if isinstance(pattern, str):
            yield pattern


def _pattern_bytes(pattern: str) -> int:
    """Return about how large a compiled pattern is: the library tells only whether it is within a limit."""
    for size in PATTERN_SIZES:
        try:
            validator_for({"pattern": pattern}, offline=True, pattern_options=RegexOptions(size_limit=size))
        except ValueError:
            continue
        return size
    return PATTERN_SIZES[-1]
