"""What every verb gets: the way to the service."""

from __future__ import annotations

from dataclasses import dataclass

from taskpost.client import Client


@dataclass(frozen=True)
class Session:
    """Where the service is, and how our user calls us."""

    url: str | None
    command: str
    """`taskpost`, with the options that reach the same service, for hints."""

    def connect(self) -> Client:
        """Return a client of the service."""
        return Client(self.url)
