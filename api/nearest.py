"""Finds the nearest valid name for a wrong one. Pure.

`nearest` returns it if there is one; `most_alike` compares words, whatever their order, and always returns a name.
"""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING, Final

from api.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection

ALIKE: Final = 0.6
"""How alike two names are for the one to be suggested, from 0 to 1 (`difflib`)."""
VERY_ALIKE: Final = 0.8
"""How alike a free name is to a fixed one to be taken for a mistake."""
MOST_CHARACTERS: Final = 100
"""Longer names are not compared: the time grows with the square of the length."""
ORDER: Final = 0.95
"""How much the order of words counts: names are this much alike if they have the same words in another order."""
MOST_COMPARED: Final = 500
"""Of more names none is the nearest: a stranger may choose the wrong one, time and again."""
MOST_LISTED: Final = 20


def nearest(name: str, names: Collection[str], alike: float = ALIKE) -> str | None:
    """Return the name that is most like `name`, ignoring case; None if none is like it."""
    if len(name) > MOST_CHARACTERS or len(names) > MOST_COMPARED:
        return None
    wrong = _folded(name)
    folded = {_folded(one): one for one in sorted(names, reverse=True)}
    found = get_close_matches(wrong, [one for one in folded if _may_be_alike(wrong, one)], 1, alike)
    return folded[found[0]] if found else None


def most_alike(name: str, names: Collection[str]) -> str:
    """Return the name whose words are most like those of `name`. `names` is not empty, and not a stranger's."""
    return max(names, key=lambda one: _likeness(name[:MOST_CHARACTERS], one))


def _likeness(one: str, other: str) -> float:
    in_order = SequenceMatcher(None, one, other).ratio()
    return max(in_order, ORDER * SequenceMatcher(None, _sorted_words(one), _sorted_words(other)).ratio())


def _sorted_words(name: str) -> str:
    return " ".join(sorted(name.split("_")))


def _may_be_alike(one: str, other: str) -> bool:
    """Return False for most names that cannot be alike, quickly."""
    return min(len(one), len(other)) * 2 >= max(len(one), len(other)) and len(set(one) & set(other)) * 2 >= len(
        set(one)
    )


def suggestion(name: str, names: Collection[str]) -> str:
    """Return a hint for a wrong name: the nearest valid name, or else the valid names."""
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {visible(near)}?"
    listed = ", ".join(visible(one) for one in sorted(names)[:MOST_LISTED])
    return f"allowed: {listed}{', ...' if len(names) > MOST_LISTED else ''}" if names else "nothing is allowed here"


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()
