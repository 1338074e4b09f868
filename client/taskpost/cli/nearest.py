"""Finds the nearest valid name for a wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 100
"""A longer name is not a mistyped one, and comparing takes time that grows with its square."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, or None."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is wrong

    by_lower = {one.lower(): one for one in known}
    given = name.lower()
    if not given or len(given) > LONGEST:
        return None
    begun = [one for one in by_lower if one.startswith(given)]
    close = begun if len(begun) == 1 else get_close_matches(given, by_lower, n=1)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question to put after a message, with a space before it, or an empty text."""
    meant = nearest(name, known)
    return "" if meant is None else f" Did you mean {meant!r}?"


class Choice(click.Choice[str]):
    """One of some words; a message about another word names the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:  # noqa: ANN401 - as click has it
        """Return what is wrong with a word, and which one was probably meant."""
        return super().get_invalid_choice_message(value, ctx) + did_you_mean(str(value), self.choices)
