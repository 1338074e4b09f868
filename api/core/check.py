"""The result of checking something that a task needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """Whether the check succeeded, and a message for people."""

    name: str
    ok: bool
    message: str
