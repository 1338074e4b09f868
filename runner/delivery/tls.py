"""Certificates: which are trusted, and which one is shown. Never unverified."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.watched import Watched

if TYPE_CHECKING:
    from pathlib import Path


class TlsFilesInvalid(ValueError):  # noqa: N818 - reads as what it says
    """A file of certificates or keys cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: CAs that are trusted beside the public ones, and a client's certificate with its key."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Tls:
    """Gives the context for connections: made when one is needed first, and anew when its files have changed."""

    def __init__(self, files: TlsFiles) -> None:
        paths = tuple(path for path in (files.ca, files.certificate, files.key) if path is not None)
        self._watched = Watched(paths, lambda: make_context(files))

    def context(self) -> ssl.SSLContext:
        """Return the context.

        Raises:
            TlsFilesInvalid: if a file cannot be used, and no earlier state of it could.
        """
        return self._watched.current()


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that trusts the public CAs and those of `files`.

    Raises:
        TlsFilesInvalid: if a file cannot be read or used.
    """
    import certifi  # noqa: PLC0415 - for those that make a connection with TLS

    context = ssl.create_default_context(cafile=certifi.where())
    context.options |= ssl.OP_NO_RENEGOTIATION  # a write would have to wait for what is read
    try:
        if files.ca is not None:
            context.load_verify_locations(cafile=files.ca)
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as fault:
        named = ", ".join(str(path) for path in (files.ca, files.certificate, files.key) if path is not None)
        raise TlsFilesInvalid(f"the certificates of {named} cannot be used: {fault}") from None
    return context
