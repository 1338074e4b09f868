"""Text from elsewhere in lines of ours."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return a text in which nothing can begin a line or steer a terminal: such characters are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
