"""Quantities of Kubernetes, such as `500m` and `2Gi`, and the resources of a container. Pure."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from api.nearest import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Found = tuple[str, str]
"""Where, and what is wrong."""

_NUMBER: Final = r"\+?(\d+\.?\d*|\.\d+)"
_QUANTITY: Final = re.compile(rf"(?P<number>{_NUMBER})(?P<unit>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{{1,3}})?")
_NEARLY: Final = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>[kmgtpe])(?P<binary>i?)b?(ytes?)?", re.IGNORECASE)
MAX_CHARACTERS: Final = 100
_UNITS: Final = {"": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_NAMED: Final = re.compile(
    r"hugepages-\S+|[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_MEMBERS: Final = ("requests", "limits", "claims")


def is_quantity(value: object) -> bool:
    """Whether an API server takes this for the quantity of a resource: a number, or text; never a negative one."""
    return amount(value) is not None


def amount(value: object) -> Decimal | None:
    """Return the number of a quantity, or None if it is not valid."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Decimal(str(value)) if 0 <= value < math.inf else None
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) <= MAX_CHARACTERS else None
    if found is None:
        return None
    number, unit = Decimal(found["number"]), found["unit"] or ""
    if unit.endswith("i"):
        return number * Decimal(1024) ** ("KMGTPE".index(unit[0]) + 1)
    if unit[:1] in {"e", "E"} and len(unit) > 1:
        return number.scaleb(int(unit[1:]))
    return number.scaleb(_UNITS[unit])


def quantity_fault(value: object) -> str | None:
    """Return why a value is not a quantity, and what to write; None if it is one."""
    if is_quantity(value):
        return None
    shown = repr(value)[:MAX_CHARACTERS]
    found = _NEARLY.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= MAX_CHARACTERS else None
    if found is None:
        return f"{shown} is not a quantity, such as 500m or 2Gi"
    unit = found["unit"].upper() if found["binary"] or found["unit"].lower() != "k" else "k"
    return f"{shown} is not a quantity: did you mean {found['number']}{unit}{'i' if found['binary'] else ''}?"


def resource_faults(resources: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what is wrong with the resources of a container."""
    for member in (name for name in resources if name not in _MEMBERS):
        hint = "write it under `requests` or `limits`" if _is_resource(member) else suggestion(member, _MEMBERS)
        yield f"resources.{member}", f"unknown member; {hint}"
    for kind in ("requests", "limits"):
        given = resources.get(kind) or {}
        if not isinstance(given, dict):
            yield f"resources.{kind}", "expected a map of resources, such as {cpu: 500m}"
            continue
        for name, value in given.items():
            if not _is_resource(name):
                yield f"resources.{kind}.{name}", f"unknown resource; {suggestion(name, RESOURCES)}"
            if why := quantity_fault(value):
                yield f"resources.{kind}.{name}", why


def excess_faults(resources: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the requests that are larger than their limits, which no API server accepts."""
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    if not isinstance(requests, dict) or not isinstance(limits, dict):
        return
    for name, value in requests.items():
        wanted, most = amount(value), amount(limits.get(name))
        if wanted is not None and most is not None and wanted > most:
            yield f"resources.requests.{name}", f"{value} is more than the limit, which is {limits[name]}"


def _is_resource(name: object) -> bool:
    return isinstance(name, str) and (name in RESOURCES or _NAMED.fullmatch(name) is not None)
