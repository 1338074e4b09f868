"""Why the embedded default cannot be had. Each message says what is wrong and what can be done, for people to read."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded default cannot be had."""


class DirectoryError(EmbeddedError):
    """The data directory cannot be used."""


class DirectoryInUseError(DirectoryError):
    """Another service uses the data directory."""


class ValkeyError(EmbeddedError):
    """The embedded Valkey cannot be found or does not start."""
