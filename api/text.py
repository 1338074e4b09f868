"""Makes texts from elsewhere safe to print."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return a text with escapes in place of characters that break a line or control a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
