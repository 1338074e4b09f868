"""The page for browsers at the root."""

from __future__ import annotations

import re
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from api.web.openapi import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEMPLATE: Final = (files("api.web") / "index.html").read_text(encoding="utf-8")
_QUALITY: Final = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE)


def index_page(root_path: str) -> str:
    """Return the page. Its links are relative, or begin with the proxy's prefix where that is known.

    The address of the page may be the prefix itself, without a final slash: a relative link would leave the prefix.
    """
    prefix = f"{root_path}/" if root_path else ""
    return _TEMPLATE.replace("{prefix}", escape(prefix)).replace("{version}", escape(VERSION))


def prefers_page(accept: Sequence[str]) -> bool:
    """Return whether the client prefers HTML to JSON, by its `Accept` headers (RFC 9110, 12.5.1)."""
    qualities = dict(_media_range(part) for value in accept for part in value.split(","))

    def quality(kind: str, subtype: str) -> float:
        names = (f"{kind}/{subtype}", f"{kind}/*", "*/*")
        return next((qualities[name] for name in names if name in qualities), 0.0)

    return quality("text", "html") > quality("application", "json")


def _media_range(text: str) -> tuple[str, float]:
    name, *parameters = text.split(";")
    found = (_QUALITY.fullmatch(parameter) for parameter in parameters)
    return name.strip().lower(), next((float(match[1]) for match in found if match), 1.0)
