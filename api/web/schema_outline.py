"""Rewrites a schema so that all of its errors can be listed at a bounded cost. Pure.

Listing the errors of `anyOf` and `oneOf` lists those of each branch, for each level of a recursive schema: the cost is
exponential in the depth of the input. Only deciding is not, since decisions are remembered. In an outline, whatever
could branch is therefore decided only, behind `not: {not: ...}`. So are references that recurse: listing errors
goes on with the outline of what they refer to, at the place in the input where it failed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urldefrag, urljoin

from api.core.schema_rules import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = Any

BASE: Final = "https://input-schema.invalid/"
"""The name by which an outline refers to a schema that has no other. It is never fetched."""
MAX_NODES: Final = 500
"""Of one outline: a small schema can refer to itself in many ways."""
ERRORS_OF_A_NAME: Final = 2
"""What a name that is required weighs: an empty object, which misses all of them, is shorter than any other value."""
BYTES_OF_AN_ERROR: Final = 16
"""So many bytes of a keyword's value weigh as much as a part of the schema."""

_ASSERTIONS: Final = frozenset(
    {
        *("type", "enum", "const", "format", "contentEncoding", "contentMediaType"),
        *("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
        *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains"),
        *("maxProperties", "minProperties", "required", "dependentRequired"),
    }
)
_ONE: Final = frozenset(
    {
        *("additionalProperties", "additionalItems", "items", "propertyNames", "then", "else"),
        *("unevaluatedProperties", "unevaluatedItems"),
    }
)
_MANY: Final = frozenset({"items", "prefixItems", "allOf"})
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_DECIDED: Final = frozenset({"not", "contains", "if"})
_UNEVALUATED: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_IN_PLACE: Final = frozenset({"allOf", "anyOf", "oneOf", "if", "$ref", "dependentSchemas", "dependencies"})
_REFERENCE_ALONE: Final = ("draft-04", "draft-06", "draft-07")
"""In these, keywords beside `$ref` have no meaning."""
_DYNAMIC: Final = frozenset({"$dynamicRef", "$recursiveRef"})


@dataclass(frozen=True, slots=True)
class Outline:
    """An outline, and how many parts of the schema are in it: what each value of an input is compared with at most.

    `weight` is the parts, and what one value can bring beside one error for each: further errors, or longer ones.
    """

    schema: dict[str, Json]
    nodes: int
    weight: int


def outline(schema: Mapping[str, Json], pointer: str) -> Outline:
    """Return the outline of what `pointer` (RFC 6901, from the root) leads to. It refers to the schema by `uri_of`.

    It is empty if the pointer leads nowhere, or to a schema that is true or false.
    """
    builder = _Builder(schema)
    made = builder.of(pointer, resolve(schema, pointer), frozenset())
    dialect = {"$schema": schema["$schema"]} if "$schema" in schema else {}
    return Outline(dialect | made if isinstance(made, dict) else {}, builder.nodes, builder.nodes + builder.weight)


def uri_of(schema: Mapping[str, Json]) -> str:
    """Return the URI by which an outline refers to the schema."""
    own = schema.get("$id", schema.get("id"))
    return urldefrag(urljoin(BASE, own)).url if isinstance(own, str) else BASE


def target(reference: str) -> str:
    """Return the pointer in a reference that an outline has made."""
    return unquote(reference.partition("#")[2])


@dataclass(slots=True)
class _Made:
    keywords: dict[str, Json] = field(default_factory=dict)
    all_of: list[Json] = field(default_factory=list)
    """What must hold beside them."""

    def whole(self) -> dict[str, Json]:
        """Return the schema that this makes."""
        if not self.all_of:
            return self.keywords
        return self.keywords | {"allOf": [*self.keywords.get("allOf", ()), *self.all_of]}


class _Builder:
    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._schema = schema
        self._uri = uri_of(schema)
        self.nodes = 0
        self.weight = 0
        self._alone = any(draft in str(schema.get("$schema", "")) for draft in _REFERENCE_ALONE)

    def of(self, pointer: str, node: Json, opened: frozenset[str]) -> Json:
        """Return the outline of a node, which `opened` (the pointers on the way to it) keeps from recursing."""
        if not isinstance(node, dict):
            return node
        has_own_base = bool(pointer) and isinstance(node.get("$id"), str)
        if self.nodes >= MAX_NODES or has_own_base or _DYNAMIC & node.keys():
            return _decided({"$ref": self._reference(pointer)})
        self.nodes += 1
        if self._alone and "$ref" in node:
            node = {"$ref": node["$ref"]}
        unevaluated = _UNEVALUATED & node.keys()
        made = _Made()
        if unevaluated and _IN_PLACE & node.keys():  # what counts as evaluated depends on what is only decided here
            made.all_of.append(_decided({"$ref": self._reference(pointer)}))
            node = {keyword: value for keyword, value in node.items() if keyword not in unevaluated}
        for keyword, value in node.items():
            self._add(made, f"{pointer}/{_step(keyword)}", value, opened | {pointer})
        return made.whole()

    def _add(self, made: _Made, pointer: str, value: Json, opened: frozenset[str]) -> None:
        """Add the part of the keyword at the end of a pointer."""
        keyword = pointer.rsplit("/", 1)[-1]
        if keyword in _ASSERTIONS:
            made.keywords[keyword] = value
            self.weight += _weight(keyword, value)
        elif keyword in {"anyOf", "oneOf"} and isinstance(value, list):
            branches = [{"$ref": self._reference(f"{pointer}/{index}")} for index in range(len(value))]
            made.all_of.append(_decided({"anyOf": branches}))
            if keyword == "oneOf":
                made.all_of.append(_decided({"oneOf": branches}))
        elif keyword in _DECIDED:
            made.keywords[keyword] = {"$ref": self._reference(pointer)}
        elif keyword in _MANY and isinstance(value, list):
            made.keywords[keyword] = [self.of(f"{pointer}/{index}", one, opened) for index, one in enumerate(value)]
        elif keyword in _ONE:
            made.keywords[keyword] = self.of(pointer, value, opened)
        elif keyword in _NAMED and isinstance(value, dict):
            self.weight += _weight(keyword, value) if keyword == "dependencies" else 0
            named = {name: self.of(f"{pointer}/{_step(name)}", one, opened) for name, one in value.items()}
            made.keywords[keyword] = named
        elif keyword == "$ref" and isinstance(value, str):
            made.all_of.append(self._referred(pointer.removesuffix("/$ref"), value, opened))

    def _reference(self, pointer: str) -> str:
        return f"{self._uri}#{quote(pointer, safe='/~')}"

    def _referred(self, holder: str, reference: str, opened: frozenset[str]) -> Json:
        """Put what a reference refers to in its place, unless that recurses."""
        pointer = unquote(reference[1:])
        if not reference.startswith("#") or (pointer and not pointer.startswith("/")):
            return _decided({"$ref": self._reference(holder)})
        if pointer in opened:
            return _decided({"$ref": self._reference(pointer)})
        return self.of(pointer, resolve(self._schema, pointer), opened)


def _weight(keyword: str, value: Json) -> int:
    """Return what a keyword can cost beside one short error.

    The library makes an error for each member that is missing, and each error holds the whole value of its keyword.
    """
    if keyword == "required" and isinstance(value, list):
        return ERRORS_OF_A_NAME * len(value)
    if keyword in {"dependentRequired", "dependencies"} and isinstance(value, dict):
        return ERRORS_OF_A_NAME * sum(len(names) for names in value.values() if isinstance(names, list))
    return len(json.dumps(value)) // BYTES_OF_AN_ERROR


def _decided(schema: dict[str, Json]) -> dict[str, Json]:
    return {"not": {"not": schema}}


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
