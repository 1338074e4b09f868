"""A check of something that a task needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """Whether all is well with it, and what was found, for people."""

    name: str
    ok: bool
    message: str
